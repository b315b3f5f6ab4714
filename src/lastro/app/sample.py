"""The small real project that ``lastro up`` protects when it is told nothing else, to try everything on."""

from __future__ import annotations

import os

_FILES = {
    "README.md": """# Sample project

A place to try Lastro on. Change, delete and rename files here, then look at what is remembered:

    lastro log ./README.md
    lastro diff ./README.md@10m
    lastro find '*.conf' --deleted
    lastro restore ./README.md
    lastro undo

Nothing in here matters, and nothing in here can be lost.
""",
    "server/app.py": '''"""A tiny web service."""

from http.server import BaseHTTPRequestHandler, HTTPServer


class Hello(BaseHTTPRequestHandler):
    """Answers every GET with a greeting."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello\\n")


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", 8000), Hello).serve_forever()
''',
    "server/app.conf": """# Configuration of the tiny web service
[server]
host = 127.0.0.1
port = 8000
workers = 2

[log]
level = info
""",
    "client/index.html": """<!doctype html>
<html lang="en">
  <head><meta charset="utf-8"><title>Sample</title></head>
  <body><p id="answer">…</p><script src="app.js"></script></body>
</html>
""",
    "client/app.js": """fetch("/").then((answer) => answer.text()).then((text) => {
  document.getElementById("answer").textContent = text;
});
""",
    "docs/notes.md": """# Notes

- The service listens on loopback only.
- The client asks it for a greeting.
""",
}


def write_sample(directory: str) -> str:
    """Write the sample project into ``directory`` unless something is there already; returns the directory."""
    if not os.path.isdir(directory):
        for name, text in _FILES.items():
            path = os.path.join(directory, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        script = os.path.join(directory, "server", "app.py")
        os.chmod(script, 0o755)  # noqa: S103  it is a script
    return os.path.realpath(directory)
