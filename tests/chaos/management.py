"""RabbitMQ's management API: what the suite reads from the broker, and the faults that it makes there."""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Api:
    """The API of one node."""

    def __init__(self, host: str, port: int) -> None:
        self.base = f"http://{host}:{port}"

    def answers(self) -> bool:
        try:
            self.get("/api/whoami", seconds=3)
        except OSError:
            return False
        return True

    def get(self, path: str, seconds: float = 15):
        return self.send("GET", path, None, seconds)

    def send(self, method: str, path: str, body: object | None, seconds: float = 30):
        """The answer's JSON, None without one."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, method=method)
        request.add_header("authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
        request.add_header("content-type", "application/json")
        with OPENER.open(request, timeout=seconds) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def depths(self) -> dict[str, int]:
        """Messages of each queue, those in flight included."""
        found = self.get("/api/queues/%2f?disable_stats=true&enable_queue_totals=true")
        return {queue["name"]: queue.get("messages", 0) for queue in found}

    def messages(self, queue: str, limit: int = 200_000) -> list[dict]:
        """All messages of a queue, which stay there."""
        body = {"count": limit, "ackmode": "ack_requeue_true", "encoding": "auto"}
        return self.send("POST", f"/api/queues/%2f/{quoted(queue)}/get", body, seconds=120)

    def delete(self, path: str) -> None:
        """Removes an object; one that is not there is no error."""
        try:
            self.send("DELETE", path, None)
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise


def quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
