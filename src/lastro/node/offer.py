"""A short-lived process offers its own files to the keeper, as a node does, over the keeper's unix socket.

So the keeper never opens paths that a user names: what is read is read with the rights of the process that the user started. The process
need not know of event loops: the session runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self

from lastro.capture.source import Source
from lastro.node.session import serve_source
from lastro.protocol.limits import DEFAULT_LIMITS
from lastro.transport.dial import dial_unix


class OfferedSource:
    """``with offer_source(path, source, ...):`` serves ``source`` until the block ends."""

    def __init__(self, socket_path: str, source: Source, *, source_id: str, name: str, version: str) -> None:
        self._socket_path = socket_path
        self._source = source
        self._source_id = source_id
        self._name = name
        self._version = version
        self._thread = threading.Thread(target=self._run, name="lastro-offer", daemon=True)
        self._settled = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        """Connect; returns when the session stands.

        Raises:
            UnreachableError: no keeper listens there.
        """
        self._thread.start()
        self._settled.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the session; returns when neither thread nor socket is left.

        Raises:
            ProtocolError: the keeper broke the protocol, and nothing else went wrong.
        """
        if self._loop is not None and self._serving is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except asyncio.CancelledError:
            return
        except Exception as error:  # noqa: BLE001  it is raised in the thread that waits for this one
            self._failure = error
        finally:
            self._settled.set()

    async def _serve(self) -> None:
        connection = await dial_unix(self._socket_path, max_message=DEFAULT_LIMITS.message_bytes)
        self._loop, self._serving = asyncio.get_running_loop(), asyncio.current_task()
        self._settled.set()
        await serve_source(
            connection,
            self._source,
            node_id=self._source_id,
            name=self._name,
            version=self._version,
            watch=False,
        )


def offer_source(
    socket_path: str, source: Source, *, source_id: str, name: str, version: str
) -> OfferedSource:
    """Offer ``source`` at the keeper's socket for the time of a ``with`` block. The keeper knows it by ``source_id``."""
    return OfferedSource(socket_path, source, source_id=source_id, name=name, version=version)
