"""A service that takes notices: a real HTTP server on loopback, as ``json://`` of Apprise speaks to one."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """``with Receiver() as receiver:``. ``url``: its address for a channel. ``status``: what it answers."""

    def __init__(self):
        self.got, self.status = [], 200
        self.news = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with receiver.news:
                    if receiver.status == 200:
                        receiver.got.append({"path": self.path, **json.loads(body)})
                    receiver.news.notify_all()
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self):
        return f"json://127.0.0.1:{self.server.server_port}/SECRET-PATH"

    def wait(self, count):
        with self.news:
            assert self.news.wait_for(lambda: len(self.got) >= count, 20), self.got
        return self.got

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
