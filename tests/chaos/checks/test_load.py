"""The callers ask for what waits for its delay, while only the record of its acceptance can be known."""

import asyncio
import json
import pathlib
import sys
import tempfile
import unittest
import unittest.mock

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import callbacks
import lines
import load
import wire

SEED = "load"
ID = "0193a6f0-0000-7000-8000-000000000001"


class Gateway:
    """Accepts everything, and has forgotten it."""

    def __init__(self) -> None:
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                first, _, _ = await wire.read_message(reader)
                if first.startswith("POST"):
                    answer = wire.response(200, json.dumps({"request_id": ID, "code": "000"}).encode())
                else:
                    self.asked += 1
                    answer = wire.response(404, b"{}")
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def first_with(plan: str) -> callbacks.Callback:
    made = (callbacks.make(SEED, number) for number in range(10_000))
    return next(it for it in made if it.plan == plan and it.key is None)


class WithinTheDelay(unittest.IsolatedAsyncioTestCase):
    async def send(self, plan: str) -> list[dict]:
        """The lines of one callback with this plan, once all that was begun for it has ended."""
        gateway = Gateway()
        server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0)
        with tempfile.TemporaryDirectory() as directory:
            ledger = pathlib.Path(directory) / "ledger.jsonl"
            port = server.sockets[0].getsockname()[1]
            callers = load.Load([port], "http://127.0.0.1:1", SEED, 1.0, lines.Lines(ledger))
            caller = load.Caller(callers.ports)
            with unittest.mock.patch.object(load, "ASKED_AFTER", (0.05, 0.1)):
                await callers.send_until_accepted(caller, first_with(plan))
                await asyncio.gather(*callers.asking)
            caller.close()
            callers.ledger.file.close()
            server.close()
            return list(lines.read(ledger))

    async def test_what_waits_long_is_asked_for_and_each_answer_is_written_down(self) -> None:
        found = await self.send("later")
        asked = [(it["id"], it["http"]) for it in found if it["event"] == "asked"]
        self.assertEqual(asked, [(ID, 404), (ID, 404)])

    def test_it_is_asked_for_before_its_delay_is_over(self) -> None:
        self.assertLess(max(load.ASKED_AFTER), callbacks.OPTIONS["later"]["delay_seconds"])

    async def test_no_other_is_asked_for_in_particular(self) -> None:
        found = await self.send("ok")
        self.assertEqual([it["event"] for it in found], ["sent", "answered"])


if __name__ == "__main__":
    unittest.main()
