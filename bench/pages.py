"""Pages over a real socket, as a browser asks for them: one connection that stays, and how long until the last byte."""

from __future__ import annotations

import http.client
import statistics
import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode, urlsplit

ROUNDS: Final = 9


class Connection:
    """To a console at ``address``. ``headers`` go along with every request."""

    def __init__(self, address: str, headers: Mapping[str, str] | None = None) -> None:
        self.address = address
        self.headers = dict(headers or {})
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)

    def get(self, path: str) -> bytes:
        """The body of a page that is there."""
        self._connection.request("GET", path, headers=self.headers)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body[:300])
        return body

    def send(self, path: str, body: bytes, kind: str) -> tuple[int, str, bytes]:
        """Status, cookie and body of what a form, or a program's request, is answered with."""
        headers = {
            **self.headers,
            "content-type": kind,
            "origin": self.address,
            "sec-fetch-site": "same-origin",
        }
        self._connection.request("POST", path, body=body, headers=headers)
        answer = self._connection.getresponse()
        return answer.status, (answer.getheader("set-cookie") or "").partition(";")[0], answer.read()

    def sign_in(self, link: str) -> None:
        """Be who a one-time link is for, from now on."""
        place, _, secret = link.partition("#")
        form = urlencode({"link": secret}).encode()
        status, cookie, _body = self.send(urlsplit(place).path, form, "application/x-www-form-urlencoded")
        assert status == 303, status
        assert cookie
        self.headers["cookie"] = cookie

    def median_ms(self, path: str) -> tuple[float, float, int]:
        """Of ``ROUNDS`` requests after one that is not counted: the median, the longest, and the bytes of the page."""
        size, times = len(self.get(path)), []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            self.get(path)
            times.append(time.perf_counter() - began)
        return statistics.median(times) * 1000, max(times) * 1000, size

    def said(self, path: str) -> str:
        """The same in words."""
        median, longest, size = self.median_ms(path)
        return f"{median:.0f} ms (longest {longest:.0f}), {size / 1000:.0f} kB"
