"""The snapshot before a run, taken while its agent begins."""

from __future__ import annotations

import threading

from lastro.agents.ledger import RunLedger


class Before:
    """The snapshot before, being taken from now on in a thread of its own."""

    def __init__(self, ledger: RunLedger, run: int, project: str) -> None:
        self._seq: int | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._take, args=(ledger, run, project), name="before", daemon=True
        )
        self._thread.start()

    def _take(self, ledger: RunLedger, run: int, project: str) -> None:
        try:
            self._seq = ledger.before(run, project)
        except BaseException as error:  # noqa: BLE001  raised by `wait`
            self._error = error

    def join(self) -> None:
        """Wait until it is taken, or failed."""
        self._thread.join()

    def wait(self) -> int:
        """The record's ``seq``, once it is there.

        Raises:
            LastroError: it could not be taken.
        """
        self._thread.join()
        if self._seq is None:
            assert self._error is not None
            raise self._error
        return self._seq
