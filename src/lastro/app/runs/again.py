"""An agent that is sent back: it goes on from its earlier work, with a human's comments, or to bring it onto what is live now. Or another
agent goes on from there, which is told what was asked of the first, and sees nothing else of it.

What the new run starts with is its earlier result *on the present*, settled exactly as an approval would settle it:

- the live project is as it was: the earlier layer itself is copied (links are never followed);
- something changed, and everything merges: a copy of the project with the settled result written to it, by the same code that applies;
- something conflicts: the project as it is; the conflicts stand in what the agent is told, with markers, as data.

What always holds: the earlier run's directory is only read; the new run is one of its own, with a snapshot before, and proposes anew.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from typing import Final, Literal

from msgspec.structs import replace

from lastro.agents.adapters.registry import AGENTS, adapter_called, asked_of
from lastro.agents.adapters.starting import fitting
from lastro.agents.jail.probing import COPY, probe
from lastro.agents.supervision_places import (
    RunPlaces,
    Standing,
    read_standing,
    run_places,
    runs_directory,
)
from lastro.app.caller import Caller
from lastro.app.desk import Desk
from lastro.app.operations.proposal.preparing import Prepared, prepare, show, sides_of
from lastro.app.operations.proposal.sides import WrittenContent
from lastro.app.operations.running import until_signalled
from lastro.app.requests.runs import Run, RunDetail, RunReply
from lastro.app.runs.carrying_out import carry_out_run
from lastro.app.runs.order import LONGEST_PURPOSE, PlannedRun, plan_run
from lastro.app.runs.parts import Fill
from lastro.app.runs.recovery import look_after_runs, show_run
from lastro.app.standing_keeper import standing_caller
from lastro.apply.destination import OutcomeKind
from lastro.apply.local import LocalDestination
from lastro.domain.paths import join, printable
from lastro.domain.proposal import Selection
from lastro.errors import ConflictError, LastroError, NotFoundError
from lastro.messages import N_

Kind = Literal["comment", "rebase"]

_OFFLINE: Final = "offline"
_LONGEST_TEXT: Final = 32 * 1024
"""Characters of conflicts that the agent is told; the rest it finds by itself."""
_CONTENTS: Final = ("upper", "modes.jsonl", "root.json")
"""Of an overlay's layer: what is copied to go on with it."""


def again(desk: Desk, *, proposal: int, prompt: str, kind: str, agent: str = "") -> RunReply:
    """Run the agent of ``proposal`` again. ``kind``: ``comment`` (``prompt`` is what was said) or ``rebase``. ``agent``: the name of
    another one that goes on instead.

    Raises:
        NotFoundError: no agent made the proposal.
        LastroError: as ``carry_out_run``.
    """
    shown = show(desk, f"proposal-{proposal}")
    if not shown.run:
        raise NotFoundError(N_("No agent made proposal-{number}."), number=proposal)
    prepared = prepare(desk, sides_of(desk, shown), Selection())
    desk.caller.close()  # where no keeper runs it may hold the repository, which the run's own keeper needs
    with standing_caller(desk.places, emit=desk.tell, ticket=desk.ticket) as caller:
        look_after_runs(desk.places, caller)
        earlier = show_run(caller, shown.run)
        left = _left(run_places(desk.places.state, shown.run))
        told = _told(prompt, prepared, kind)
        other = "" if agent == earlier.agent else agent
        planned = _planned(
            desk, caller, earlier=earlier, prepared=prepared, left=left, told=told, other=other
        )
        order = replace(
            planned.order,
            resumes=earlier.run if kind == "comment" else None,
            rebases=proposal if kind == "rebase" else None,
        )
        places = run_places(desk.places.state, shown.run)
        fill = _filling(caller, prepared, left, places, with_home=not other)
        return carry_out_run(desk, caller, replace(planned, order=order), watch=until_signalled, fill=fill)


def _left(places: RunPlaces) -> Standing | None:
    try:
        return read_standing(places)
    except NotFoundError:
        return None


def _planned(
    desk: Desk,
    caller: Caller,
    *,
    earlier: RunDetail,
    prepared: Prepared,
    left: Standing | None,
    told: str,
    other: str,
) -> PlannedRun:
    """The run as it was asked for the first time, with what its agent, or the ``other`` one, is told now."""
    words, prompt = _words(earlier, other, told)
    by_name = (other or earlier.agent) == _OFFLINE
    request = Run(
        command=words[1:] if by_name else words,
        agent=_OFFLINE if by_name else "",
        role=earlier.role,
        project=earlier.project,
        lease=earlier.leases,
        model=left.model if left else "auto",
        view=_view(desk, prepared, left),
        check=left.check if left else True,
    )
    planned = plan_run(desk, caller, request, identity=secrets.token_hex(16))
    session = earlier.facts.session if earlier.facts is not None else ""
    purpose = printable(told.strip().partition("\n")[0])[:LONGEST_PURPOSE]
    return replace(
        planned,
        order=replace(planned.order, purpose=purpose or planned.order.purpose),
        session=session if left is not None and not other else "",
        prompt=prompt,
    )


def _words(earlier: RunDetail, other: str, told: str) -> tuple[tuple[str, ...], str]:
    """The command line of who goes on, and what is said to it besides."""
    if not other:
        return earlier.command, told
    if earlier.agent not in AGENTS:  # a command, which is no task for an agent
        return asked_of(other, fitting(told)), ""
    first = adapter_called(earlier.agent).prompt(earlier.command)
    return asked_of(other, fitting(first)), told


def _told(prompt: str, prepared: Prepared, kind: str) -> str:
    """What the agent is told: the human's words, and what stands between its work and the present."""
    settlement = prepared.settlement
    lines = [prompt.strip()] if prompt.strip() else []
    if kind == "rebase" and not lines:
        lines.append("The project changed since you worked on it. Bring your work onto how it is now.")
    if settlement.conflicts:
        lines.append(
            "Your earlier changes are not in the files, because these paths were changed by others as well:"
        )
        lines += [f"- {printable(path)} ({why.value})" for path, why in settlement.conflicts]
    elif settlement.merged:
        lines.append("Your earlier changes are in the files, merged with those of others in:")
        lines += [f"- {printable(path)}" for path in settlement.merged]
    text, left = "\n".join(lines), _LONGEST_TEXT
    for path, content in settlement.texts.items():
        part = f"\n\n{printable(path)}, with both versions where they conflict:\n{content.decode(errors='replace')}"
        if len(part) <= left:
            text, left = text + part, left - len(part)
    return text.replace("\0", "") + "\n"


# What the layer starts with ------------------------------------------------------------------------------------------------------------


def _is_plain(prepared: Prepared) -> bool:
    """Whether the live project is where the earlier run began."""
    settlement = prepared.settlement
    return not settlement.conflicts and settlement.changes.digest == prepared.selected.changes.digest


def _view(desk: Desk, prepared: Prepared, left: Standing | None) -> str:
    """The view that can be filled: the best one where the earlier layer is taken as it is, or where there is nothing to fill in."""
    if prepared.settlement.conflicts or not prepared.settlement.changes.changes:
        return ""
    os.makedirs(runs_directory(desk.places.state), mode=0o700, exist_ok=True)
    best = probe(runs_directory(desk.places.state)).best_view
    same = left is not None and left.view == best != COPY and _is_plain(prepared)
    has_layer = left is not None and os.path.isdir(
        f"{run_places(desk.places.state, left.run).directory}/upper"
    )
    return "" if same and has_layer else COPY


def _filling(
    caller: Caller, prepared: Prepared, left: Standing | None, earlier: RunPlaces, *, with_home: bool
) -> Fill:
    """``with_home``: it is the same agent, whose settings and conversations stand there."""

    def fill(places: RunPlaces, view: str) -> None:
        if left is not None and with_home:
            _copy(earlier.home, places.home)
        if prepared.settlement.conflicts or not prepared.settlement.changes.changes:
            return
        if view == COPY:
            _write_settled(caller, prepared, places)
            return
        for name in _CONTENTS:
            if os.path.lexists(join(earlier.directory, name)):
                _copy(join(earlier.directory, name), join(places.directory, name))

    return fill


def _write_settled(caller: Caller, prepared: Prepared, places: RunPlaces) -> None:
    """Write the settled result to the copy of the project, with the same code that applies: what it finds must be what is live."""
    settlement, sides = prepared.settlement, prepared.sides
    intents = f"{places.directory}/intents"
    os.makedirs(intents, mode=0o700, exist_ok=True)
    destination = LocalDestination(f"{places.directory}/copy", intents=intents)
    content = WrittenContent(caller, sides.after_items, prepared.written)
    outcome = destination.apply(secrets.token_hex(16), settlement.changes, content)
    if outcome.kind is not OutcomeKind.APPLIED and outcome.conflicts:
        raise ConflictError(
            N_("The project is changing right now: {path}"),
            hint=N_("Wait until it rests, and try again."),
            path=outcome.conflicts[0].path,
        )


def _copy(source: str, target: str) -> None:
    """Copy a file, or what a directory holds into another one, as it is: modes, times, owners, attributes, links as links.

    Raises:
        LastroError: it could not be copied whole.
    """
    program = shutil.which("cp", path="/usr/bin:/bin")
    if program is None:
        raise NotFoundError(N_("There is no program called {program} here."), program="cp")
    inner = f"{source}/." if os.path.isdir(source) and not os.path.islink(source) else source
    done = subprocess.run(
        [program, "-a", "--reflink=auto", "-T", "--", inner, target],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env={"LC_ALL": "C"},
    )
    if done.returncode:
        raise LastroError(
            N_("What the earlier run left could not be copied: {reason}"),
            reason=printable(done.stderr.decode(errors="replace").strip()[:500]),
        )
