"""A TCP proxy that injects faults, in a process of its own.

Each link is `NAME=PORT:UPSTREAM_HOST:UPSTREAM_PORT`. Commands are JSON lines on the control port:
{"link": "PATTERN", "fault": {...}} with any of
latency     seconds by which every chunk is delayed
bandwidth   bytes a second and direction
hold        "both", "up" (to the server) or "down": what is sent there is kept back; the connection stays open
cut_after   bytes (the smallest and the largest): each connection is reset behind a random one of them
refuse      new connections are reset
`{"link": ..., "cut": true}` resets all connections now; an empty fault heals the link.
"""

import argparse
import asyncio
import contextlib
import fnmatch
import json
import random
import socket
import struct

CHUNK = 16_384
LINGER_NONE = struct.pack("ii", 1, 0)


class Link:
    """One port, its upstream, its fault and its connections."""

    def __init__(self, name: str, upstream: tuple[str, int], chance: random.Random) -> None:
        self.name, self.upstream, self.chance = name, upstream, chance
        self.fault: dict = {}
        self.changed = asyncio.Event()
        self.writers: set[asyncio.StreamWriter] = set()

    def set(self, fault: dict) -> None:
        self.fault = fault
        self.changed.set()
        self.changed = asyncio.Event()

    def cut(self) -> None:
        for writer in list(self.writers):
            reset(writer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.fault.get("refuse"):
            reset(writer)
            return
        self.writers.add(writer)
        upstream = None
        try:
            server_reader, upstream = await asyncio.open_connection(*self.upstream)
            self.writers.add(upstream)
            budget = Budget(self)
            up = asyncio.create_task(self.copy(reader, upstream, "up", budget))
            down = asyncio.create_task(self.copy(server_reader, writer, "down", budget))
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            for task in (up, down):
                task.cancel()
        except OSError:
            reset(writer)
        finally:
            for one in (writer, upstream):
                if one is not None:
                    self.writers.discard(one)
                    one.close()

    async def copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str, budget: "Budget"
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                await self.delay(len(chunk), direction)
                allowed = budget.take(len(chunk))
                writer.write(chunk[:allowed])
                await writer.drain()
                if allowed < len(chunk):
                    # What was written may still be on its way: only the rest is lost.
                    await asyncio.sleep(0.005)
                    reset(writer)
                    return

    async def delay(self, length: int, direction: str) -> None:
        while self.fault.get("hold") in ("both", direction):
            await self.changed.wait()
        seconds = self.fault.get("latency", 0) * self.chance.uniform(0.5, 1.5)
        if rate := self.fault.get("bandwidth"):
            seconds += length / rate
        if seconds:
            await asyncio.sleep(seconds)


class Budget:
    """How many bytes of a connection pass, both directions together, while its link is to be cut."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.left: int | None = None

    def take(self, length: int) -> int:
        between = self.link.fault.get("cut_after")
        if not between:
            self.left = None
            return length
        if self.left is None:
            self.left = self.link.chance.randint(*between)
        allowed = min(length, self.left)
        self.left -= allowed
        return allowed


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
    writer.transport.abort()


class Control:
    """Takes commands."""

    def __init__(self, links: list[Link]) -> None:
        self.links = links

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            command = json.loads(line)
            chosen = [link for link in self.links if fnmatch.fnmatch(link.name, command["link"])]
            for link in chosen:
                if command.get("cut"):
                    link.cut()
                else:
                    link.set(command["fault"])
            writer.write(f"{len(chosen)}\n".encode())
            await writer.drain()
        writer.close()


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--control", type=int, required=True)
    arguments.add_argument("--seed", required=True)
    arguments.add_argument("links", nargs="+")
    chosen = arguments.parse_args()
    links = []
    for text in chosen.links:
        name, _, rest = text.partition("=")
        port, host, upstream = rest.split(":")
        link = Link(name, (host, int(upstream)), random.Random(f"{chosen.seed}:{name}"))
        links.append(link)
        await asyncio.start_server(link.serve, "127.0.0.1", int(port))
    server = await asyncio.start_server(Control(links).serve, "127.0.0.1", chosen.control)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
