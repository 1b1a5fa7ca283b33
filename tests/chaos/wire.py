"""As much of HTTP/1.1 as the load and the sink need, so that neither depends on a library of the gateway's."""

import asyncio

Headers = dict[str, str]


async def read_message(reader: asyncio.StreamReader) -> tuple[str, Headers, bytes]:
    """The first line, the headers (names in lower case) and the body. Raises at the end of the stream."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return first, headers, await read_chunks(reader)
    return first, headers, await reader.readexactly(int(headers.get("content-length", "0")))


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return b"".join(parts)


def request(method: str, path: str, host: str, body: bytes = b"", more: Headers | None = None) -> bytes:
    headers = {"host": host, "content-length": str(len(body)), **(more or {})}
    if body:
        headers.setdefault("content-type", "application/json")
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def response(status: int, body: bytes = b"") -> bytes:
    return f"HTTP/1.1 {status} Chaos\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
