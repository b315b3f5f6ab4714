"""Recording a state that a human made, not an agent: the after of an undo, or of an edited proposal."""

from __future__ import annotations

from collections.abc import Sequence

from lastro.app.desk import Desk
from lastro.app.made_source import MadeSource
from lastro.app.requests.runs import CaptureLayer, LayerCaptured
from lastro.apply.destination import Content
from lastro.domain.changes import Change
from lastro.domain.snapshot import Reason


def record_state(
    desk: Desk, target: str, *, before: int, changes: Sequence[Change], content: Content, reason: Reason
) -> LayerCaptured:
    """A snapshot that is as the record ``before`` with ``changes`` made to ``target``; nothing on the disk is changed."""
    entries = {change.path: change.after for change in changes if change.after is not None}
    with desk.caller.offer(MadeSource(target, entries, content.read)) as offer:
        reply = desk.caller.call(
            "capture.layer",
            CaptureLayer(
                offer=offer,
                project=target,
                before=before,
                changed=tuple(change.path for change in changes),
                reason=reason.value,
            ),
        )
    assert isinstance(reply, LayerCaptured)
    return reply
