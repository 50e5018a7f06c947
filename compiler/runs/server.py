"""The page of a run for a browser on this machine, as long as somebody watches."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from compiler.runs.page import RunPage, state_json
from compiler.runs.status import RunStatus

STATE = "/state.json"


class Watched:
    """The state that was seen last; one thread sets it, others tell it."""

    def __init__(self, status: RunStatus) -> None:
        self.status = status


@contextmanager
def serving(page: RunPage, watched: Watched, every_s: float) -> Iterator[str]:
    """Answers on a free port of 127.0.0.1, whose address it gives, until it is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A page of elsewhere that got itself this machine's address by name is not answered.
            if self.headers.get("Host") != host:
                self._answer(HTTPStatus.MISDIRECTED_REQUEST, "text/plain", "")
            elif self.path == "/":
                text = page.text(watched.status, now=time.time(), every_s=every_s, url=STATE)
                self._answer(HTTPStatus.OK, "text/html", text)
            elif self.path == STATE:
                self._answer(HTTPStatus.OK, "application/json", json.dumps(state_json(watched.status, time.time())))
            else:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", "")

        def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the terminal shows the run."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        host = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{host}/"
        finally:
            server.shutdown()
            thread.join()
