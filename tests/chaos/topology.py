"""Objects of the broker that an operator may remove or change by mistake, and how they are restored."""

import contextlib
import urllib.error

from management import Api, quoted

VHOST = "%2f"


def remove_binding(api: Api, exchange: str, queue: str) -> list[dict]:
    """The bindings between the two, which are removed."""
    path = f"/api/bindings/{VHOST}/e/{quoted(exchange)}/q/{quoted(queue)}"
    found = api.get(path)
    for one in found:
        api.delete(f"{path}/{quoted(one['properties_key'])}")
    return found


def restore_binding(api: Api, exchange: str, queue: str, bindings: list[dict]) -> None:
    for one in bindings:
        body = {"routing_key": one["routing_key"], "arguments": one["arguments"]}
        api.send("POST", f"/api/bindings/{VHOST}/e/{quoted(exchange)}/q/{quoted(queue)}", body)


def definitions(api: Api) -> dict:
    """All objects, to be restored by `import_definitions`."""
    return api.get("/api/definitions")


def import_definitions(api: Api, found: dict) -> None:
    kept = {key: found[key] for key in ("vhosts", "users", "permissions", "exchanges", "queues", "bindings")}
    api.send("POST", "/api/definitions", kept, seconds=60)


def remove_exchange(api: Api, exchange: str) -> None:
    api.delete(f"/api/exchanges/{VHOST}/{quoted(exchange)}")


def remove_queue(api: Api, queue: str) -> None:
    """With all that is in it."""
    api.delete(f"/api/queues/{VHOST}/{quoted(queue)}")


def remove_vhost(api: Api) -> None:
    """With all that is in it, dead letters and records included."""
    api.send("DELETE", f"/api/vhosts/{VHOST}", None, seconds=60)


def restore_vhost(api: Api, user: str) -> None:
    """Empty, with rights for the gateway's user and for the suite's own."""
    api.send("PUT", f"/api/vhosts/{VHOST}", {}, seconds=60)
    set_permissions(api, "guest", ".*")
    set_permissions(api, user, ".*")


def set_policy(api: Api, name: str, pattern: str, definition: dict) -> None:
    body = {"pattern": pattern, "definition": definition, "apply-to": "queues", "priority": 1}
    api.send("PUT", f"/api/policies/{VHOST}/{name}", body)


def remove_policy(api: Api, name: str) -> None:
    api.delete(f"/api/policies/{VHOST}/{name}")


def set_permissions(api: Api, user: str, permitted: str) -> None:
    body = {"configure": permitted, "write": permitted, "read": permitted}
    api.send("PUT", f"/api/permissions/{VHOST}/{user}", body)


def remove_user(api: Api, user: str) -> None:
    api.delete(f"/api/users/{user}")


def set_user(api: Api, user: str, password: str) -> None:
    api.send("PUT", f"/api/users/{user}", {"password": password, "tags": ""})


def close_connections(api: Api, user: str) -> None:
    """What an operator does after a change of rights, so that it holds for those who are connected."""
    for one in api.get("/api/connections?disable_stats=true") or []:
        if one.get("user") == user:
            with contextlib.suppress(urllib.error.HTTPError):
                api.delete(f"/api/connections/{quoted(one['name'])}")
