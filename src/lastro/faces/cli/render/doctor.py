"""``lastro doctor``."""

from __future__ import annotations

from typing import Any, Final

from lastro.app.requests.doctor import Diagnosis
from lastro.domain.paths import printable
from lastro.faces.cli.context import Context
from lastro.faces.translation import gettext as _
from lastro.faces.translation import sentence
from lastro.messages import N_

TOPICS: Final = {
    "machine": N_("This machine"),
    "installation": N_("This installation"),
    "agents": N_("Jails for agents"),
    "gateway": N_("Gateway"),
    "offline": N_("Offline models"),
}
STATES: Final = {"good": ("✓", "green"), "warning": ("!", "yellow"), "bad": ("✗", "red")}


def diagnosis(reply: Diagnosis, request: Any, context: Context) -> None:
    """By topic, one line each, with what to do about what is not good."""
    terminal = context.terminal
    topic = ""
    for finding in reply.findings:
        if finding.topic != topic:
            topic = finding.topic
            terminal.line(
                terminal.style(_(TOPICS[topic]) if topic in TOPICS else printable(topic), bold=True)
            )
        mark, color = STATES[finding.state]
        text = sentence(finding.said.msgid, finding.said.parameters)
        terminal.line(f"  {terminal.style(mark, fg=color)} {text}")
        if finding.said.hint:
            terminal.line(f"      {sentence(finding.said.hint, finding.said.parameters)}")
    del request
