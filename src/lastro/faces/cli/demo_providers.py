"""Two providers for the tour, on this machine: one that dies in the middle of its answer, and one that does not.

They speak OpenAI Chat Completions, streamed, over real sockets, as far as the tour needs it.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from typing_extensions import override

_ARGUMENTS: Final = '{"path":"server/app.conf","line":3,"text":"workers = 4"}'
_PIECES: Final = 4


@contextmanager
def provider(model: str, *, dies: bool) -> Iterator[str]:
    """A provider of ``model`` while the context lasts; gives its base URL. One that ``dies`` cuts the line inside each answer."""

    class Handler(_Handler):
        pass

    Handler.model, Handler.dies = model, dies
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Answers each question with one call of a tool."""

    model = ""
    dies = False
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """``/v1/models``."""
        self._send(
            json.dumps({"object": "list", "data": [{"id": self.model, "object": "model"}]}).encode(),
            "application/json",
        )

    def do_POST(self) -> None:
        """``/v1/chat/completions``, as a stream."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number, chunk in enumerate(self._chunks()):
            if self.dies and number == _PIECES - 1:
                # A reset instead of an end, as a machine that loses its power sends none at all.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return
            self._piece(f"data: {json.dumps(chunk)}\n\n".encode())
        self._piece(b"data: [DONE]\n\n")
        self._piece(b"")

    def _chunks(self) -> Iterator[dict[str, Any]]:
        def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return {
                "id": "tour",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": self.model,
                "choices": [choice],
            }

        call = {
            "index": 0,
            "id": "call_1",
            "type": "function",
            "function": {"name": "edit_file", "arguments": ""},
        }
        yield chunk({"role": "assistant", "content": None})
        yield chunk({"tool_calls": [call]})
        middle = len(_ARGUMENTS) // 2
        for part in (_ARGUMENTS[:middle], _ARGUMENTS[middle:]):
            yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
        yield chunk({}, "tool_calls")

    def _piece(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """The tour speaks for itself."""
