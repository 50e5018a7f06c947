"""A server that says the same at once: its port is printed, then it serves until it is killed."""

import asyncio
import json
import sys

_TEXT = "the same words for everybody, about as many as a short answer has, and some more of them " * 6
_BODY = json.dumps(
    {
        "id": "instant",
        "object": "chat.completion",
        "created": 1,
        "model": "some/model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 100},
    }
).encode()
_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BODY) + _BODY


class Instant(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as little of it as a client needs."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (head := self._read.find(b"\r\n\r\n")) >= 0:
            length = self._read[:head].lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
            end = head + 4 + int(length or 0)
            if len(self._read) < end:
                return
            self._read = self._read[end:]
            self._transport.write(_REPLY)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
