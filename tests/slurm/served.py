"""A small served model, a process of its own: `python served.py PORT`. It takes a moment to come up."""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._say({"data": [{"id": "some/echo"}]} if self.path == "/v1/models" else None)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = {"role": "assistant", "content": f"heard: {asked['messages'][-1]['content']}"}
        choice = {"index": 0, "message": said, "finish_reason": "stop"}
        self._say({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 5}})

    def _say(self, value: object) -> None:
        text = json.dumps(value).encode()
        self.send_response(200 if value else 404)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    time.sleep(2)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
