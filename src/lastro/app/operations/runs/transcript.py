"""``runs.transcript``: what an agent said, and which step changed what, one beside the other."""

from __future__ import annotations

import os
from operator import attrgetter
from typing import Final

from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.runs.looking import show_run
from lastro.app.requests.runs import RunTranscript, ShowRun, Transcript, TranscriptLine
from lastro.app.services import Services
from lastro.domain.run import RunStep
from lastro.messages import N_

_MOST_PATHS: Final = 50


def transcript(services: Services, request: Transcript) -> RunTranscript:
    """The newest lines of it, as far as the run's directory is still there."""
    from lastro.agents.adapters.registry import adapter_called  # noqa: PLC0415  much, for this operation alone
    from lastro.agents.stepping import read_steps  # noqa: PLC0415  as above
    from lastro.agents.supervision_places import run_places  # noqa: PLC0415  as above
    from lastro.agents.transcript import read_transcript  # noqa: PLC0415  as above

    detail = show_run(services, ShowRun(run=request.run))
    places = run_places(services.places.state, detail.run)
    spoken, cut = read_transcript(places.output, adapter_called(detail.agent).parse)
    steps = detail.facts.steps if detail.facts is not None else read_steps(places.directory)
    lines = [
        TranscriptLine(time_ns=one.time_ns, kind=one.said.kind, name=one.said.name, text=one.said.text)
        for one in spoken
    ]
    lines += [_of(step) for step in steps]
    lines.sort(key=attrgetter("time_ns"))
    newest = lines[-request.limit :] if request.limit else lines
    return RunTranscript(
        run=detail.run,
        kept=os.path.lexists(places.output),
        cut=cut or len(newest) < len(lines),
        lines=tuple(newest),
    )


def _of(step: RunStep) -> TranscriptLine:
    return TranscriptLine(
        time_ns=step.time_ns,
        kind="step",
        step=step.number,
        paths=step.paths[:_MOST_PATHS],
        more=max(0, len(step.paths) - _MOST_PATHS),
        exchange=step.exchange,
    )


OPERATIONS = (
    Operation(
        name="runs.transcript",
        request=Transcript,
        reply=RunTranscript,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=transcript,
        summary=N_("What an agent said and did, step by step, also while it works."),
        details=N_("It is kept with the run's directory, until a week after its proposal was decided."),
    ),
)
