"""The implementations of ``Source`` that ``test_sources.py`` holds to the contract.

Each is made from a local one: as it is, or served over something. To add an implementation, add a line.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from lastro.capture.source import Source
from lastro.protocol.messages import ENCODING_BINARY, ENCODING_TEXT, Encoding
from tests.wire import over_the_wire


def _node(encoding: Encoding) -> Callable[[Source], AbstractContextManager[Source]]:
    """A node with real TLS that serves the source."""

    @contextmanager
    def serve(source: Source) -> Iterator[Source]:
        with tempfile.TemporaryDirectory() as keys, over_the_wire(keys, source, encoding=encoding) as node:
            yield node

    return serve


SOURCES: dict[str, Callable[[Source], AbstractContextManager[Source]]] = {
    "local": nullcontext,
    "node": _node(ENCODING_BINARY),
    "node in text": _node(ENCODING_TEXT),
}
