"""What a source has to tell its owner and no listing can carry: a marker that is not ours, a root that cannot be watched."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from lastro.domain.paths import printable
from lastro.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something to know about ``path`` below ``root``. ``code``: ``foreign_marker``, ``not_watched``, ``watch_lost``."""

    code: str
    root: str
    path: str
    message: Message


Notify = Callable[[Notice], None]
"""Takes a notice; called from any thread, must not block. Wiring decides who sees it."""


def log_notice(notice: Notice) -> None:
    """The default: the program's log, in English; no path in it can play with the terminal of who reads it."""
    logging.getLogger("lastro.capture").warning("%s", printable(str(notice.message)))
