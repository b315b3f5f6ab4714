"""Everything one call of the command line knows about its surroundings: arguments of what it does, never looked up again below."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from functools import cached_property
from typing import TYPE_CHECKING

from lastro.domain.clock import Clock
from lastro.errors import UsageError
from lastro.faces.cli.settings import Settings
from lastro.faces.cli.terminal import Terminal
from lastro.faces.translation import gettext as _
from lastro.messages import N_

if TYPE_CHECKING:
    from lastro.app.places import Places
    from lastro.domain.reference import Reference


@dataclass(kw_only=True)
class Context:
    """Settings, streams, clock and environment of one call. Places and zone are found when they are first needed."""

    settings: Settings
    terminal: Terminal
    environment: Mapping[str, str]
    clock: Clock
    utc_offset_s: int

    @property
    def language(self) -> str:
        """``--lang``; empty when not given."""
        return self.settings.language

    @cached_property
    def now_ns(self) -> int:
        """The instant of this call: all ages and relative times count from it."""
        return self.clock.wall_ns()

    @cached_property
    def zone(self) -> tzinfo:
        """The terminal's zone."""
        from lastro.faces.wording.instants import local_zone  # noqa: PLC0415  only for commands with times

        return local_zone(self.environment, offset_s=self.utc_offset_s)

    @cached_property
    def places(self) -> Places:
        """Where Lastro keeps its things: ``--home``, else as ``find_places`` says."""
        from lastro.app.places import find_places  # noqa: PLC0415  help needs no places

        home = self.settings.home
        return find_places({**self.environment, "LASTRO_HOME": home} if home else self.environment)

    def reference(self, text: str, *, at: str | None = None) -> Reference:
        """What the person typed. An instant that was typed is shown on standard error as it was understood.

        Raises:
            UsageError: it cannot be read as a reference.
        """
        from lastro.domain.reference import AtTime, parse_reference  # noqa: PLC0415  help needs none

        directory = _directory(text)
        reference = parse_reference(
            text, now_ns=self.now_ns, zone=self.zone, directory=directory, home=self._home, at=at
        )
        if isinstance(reference.at, AtTime):
            self._echo(reference.at.time_ns)
        return reference

    def instant(self, text: str) -> int:
        """An instant that the person typed, in nanoseconds; shown on standard error as it was understood.

        Raises:
            UsageError: it is none.
        """
        from lastro.domain.reference import AtTime, parse_at  # noqa: PLC0415  as above

        at = parse_at(text, now_ns=self.now_ns, zone=self.zone)
        if not isinstance(at, AtTime):
            raise UsageError(
                N_("{text} is no instant."),
                hint=N_("Write 7d, 24h, 14:05, 2026-11-20 or 2026-11-20T14:05Z."),
                text=text,
            )
        self._echo(at.time_ns)
        return at.time_ns

    def path(self, text: str) -> str:
        """A path of this machine that the person typed, absolute."""
        from lastro.domain.reference import absolute  # noqa: PLC0415  as above

        return absolute(text, directory=_directory(text), home=self._home)

    @property
    def _home(self) -> str:
        return self.environment.get("HOME") or os.path.expanduser("~")

    def _echo(self, time_ns: int) -> None:
        from lastro.faces.wording.instants import age, clock_time_with_zone  # noqa: PLC0415  as above

        clock, ago = clock_time_with_zone(time_ns, self.zone), age(time_ns, self.now_ns)
        self.terminal.note(_("as of {time} ({age})", time=clock, age=ago))


def current_context() -> Context:
    """The context of the command that Click is running."""
    import click  # noqa: PLC0415  --version needs none of it

    context = click.get_current_context().find_object(Context)
    if context is None:
        raise RuntimeError("a command runs only through main.run")
    return context


def _directory(text: str) -> str:
    """The current directory, which only a relative path needs."""
    try:
        return os.getcwd()
    except OSError:
        if text.startswith(("/", "~")):
            return "/"
        raise UsageError(
            N_("The current directory no longer exists."),
            hint=N_("Go to another one, or write the whole path."),
        ) from None
