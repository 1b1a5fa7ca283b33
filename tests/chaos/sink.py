"""The target of all callbacks: a process that writes down every arrival, and answers as the callback's plan says.

`POST /control` with `{"mode": "plan" | "fail" | "hang" | "slow"}` changes how it answers everything.
"""

import argparse
import asyncio
import contextlib
import json
import pathlib
import socket
import struct

import callbacks
import lines
import wire

SLOW = 0.4
HANG = 30.0
LINGER_NONE = struct.pack("ii", 1, 0)


class Sink:
    """Answers connections, and keeps the file of arrivals."""

    def __init__(self, arrivals: lines.Lines) -> None:
        self.arrivals = arrivals
        self.mode = "plan"
        self.count = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self.answer_one(reader, writer):
                pass
        writer.close()

    async def answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays."""
        first, headers, body = await wire.read_message(reader)
        path = first.split(" ")[1]
        if path == "/control":
            self.mode = json.loads(body)["mode"]
            writer.write(wire.response(200))
            return True
        self.count += 1
        mark = self.count
        attempt = int(headers.get("x-callback-attempt", "0"))
        self.arrivals.add(
            event="arrived",
            mark=mark,
            id=headers.get("webhook-id", ""),
            hash=callbacks.hash_of(body),
            path=path,
            attempt=attempt,
            app=headers.get("x-callback-app-id", ""),
        )
        how = self.how(path, attempt)
        if how == "slow":
            await asyncio.sleep(SLOW)
            how = "200"
        if how == "hang":
            await asyncio.sleep(HANG)
            return False
        if how == "reset":
            return self.reset(writer)
        # Written before the answer: the gateway may act on the answer before the next line is written.
        self.arrivals.add(event="answered", mark=mark, status=int(how))
        writer.write(wire.response(int(how), b'{"taken":true}'))
        await writer.drain()
        return True

    def how(self, path: str, attempt: int) -> str:
        if self.mode != "plan":
            return {"fail": "503", "hang": "hang", "slow": "slow"}[self.mode]
        until, failure = callbacks.FAILS.get(path.split("/")[1], (0, ""))
        if until == 0:
            return failure or "200"
        return failure if attempt <= until else "200"

    @staticmethod
    def reset(writer: asyncio.StreamWriter) -> bool:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        writer.transport.abort()
        return False


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--arrivals", type=pathlib.Path, required=True)
    chosen = arguments.parse_args()
    sink = Sink(lines.Lines(chosen.arrivals))
    server = await asyncio.start_server(sink.serve, "127.0.0.1", chosen.port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
