"""What runs the operations of one command: CALLER ones in this process, KEEPER ones through a ``Caller``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from lastro.app.desk import Desk
from lastro.app.inside_run import require_available
from lastro.app.operation import Operation, Place
from lastro.faces.cli.context import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A desk, for the length of one command."""

    desk: Desk

    def run(self, operation: Operation[Any, Any], request: Struct) -> Any:
        """The reply of ``operation`` to ``request``."""
        if operation.place is not Place.KEEPER:
            require_available(self.desk.places, operation.name)
            return operation.run(self.desk, request)
        return self.desk.caller.call(operation.name, request)


@contextmanager
def open_session(context: Context) -> Iterator[Session]:
    """A session at the keeper of this person's places, or in this process where no keeper runs."""
    from lastro.app.wiring import open_desk  # noqa: PLC0415  the one place that picks implementations
    from lastro.faces.cli.live import show_events  # noqa: PLC0415  as above
    from lastro.faces.cli.progress import show_progress  # noqa: PLC0415  as above

    with (
        show_progress(context.terminal) as report,
        show_events(context) as tell,
        open_desk(context.places, clock=context.clock, report=report, tell=tell) as desk,
    ):
        yield Session(desk=desk)
