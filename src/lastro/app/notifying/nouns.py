"""What telling people is made of. Nouns."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct, field

from lastro.messages import N_


class NoticeKind(StrEnum):
    """What a notice is about; a channel says which of them it wants."""

    PROPOSAL = "proposal"
    """A proposal waits for a human."""
    RUN_FAILED = "run_failed"
    SERVER_SILENT = "server_silent"
    CAPTURE_MISSING = "capture_missing"
    """Nothing good was kept of a root for longer than it may be; and that it is well again."""
    DAMAGE = "damage"
    SIGN_IN = "sign_in"
    TEST = "test"


WANTED: Final = tuple(kind for kind in NoticeKind if kind is not NoticeKind.TEST)
"""Kinds that a channel can choose."""

KIND_WORDS: Final[Mapping[str, str]] = {
    NoticeKind.PROPOSAL: N_("a proposal waits"),
    NoticeKind.RUN_FAILED: N_("a run failed"),
    NoticeKind.SERVER_SILENT: N_("a server is silent"),
    NoticeKind.CAPTURE_MISSING: N_("a good capture is missing"),
    NoticeKind.DAMAGE: N_("the repository is damaged"),
    NoticeKind.SIGN_IN: N_("somebody signed in"),
}


class Digest(StrEnum):
    """When a channel tells what is not urgent. What is urgent is told at once."""

    AT_ONCE = "at_once"
    HOURLY = "hourly"
    DAILY = "daily"
    NEVER = "never"


class Channel(Struct, frozen=True, kw_only=True):
    """A way to people. ``url``: an address as Apprise writes them; a secret. ``kinds``: of ``WANTED``."""

    name: str
    url: str
    kinds: tuple[NoticeKind, ...] = WANTED
    digest: Digest = Digest.DAILY
    language: str = ""

    def wants(self, notice: Notice) -> bool:
        """Whether it is told of this at all."""
        return notice.kind in self.kinds and (notice.urgent or self.digest is not Digest.NEVER)


class Notice(Struct, frozen=True, kw_only=True):
    """Something to tell. ``key``: the same thing has the same one, and is told once. ``path``: the page of the console about it.

    ``after``: key of the notice that this one answers; it is told only where that one was.
    """

    kind: NoticeKind
    key: str
    urgent: bool
    time_ns: int
    msgid: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    path: str = "/inbox"
    after: str = ""
    wait_ns: int = 0
    """How long it may still turn out that there is nothing to tell."""
