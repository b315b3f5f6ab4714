"""Settings: how somebody likes the console, and the way to everything else that is theirs."""

from __future__ import annotations

from typing import Final

from lastro.accounts.nouns import Preferences, Theme
from lastro.app.permissions import Right
from lastro.errors import UsageError
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.translation import languages
from lastro.faces.wording.language_names import named_languages
from lastro.messages import N_

THEMES: Final = {
    Theme.SYSTEM.value: N_("as this device has it"),
    Theme.LIGHT.value: N_("light"),
    Theme.DARK.value: N_("dark"),
}


def settings(asked: Asked) -> Answer:
    """What is chosen, to be changed."""
    values = {"chosen": asked.somebody.preferences, "languages": named_languages(), "themes": THEMES}
    return Page(template="settings.html", values=values)


def choose(asked: Asked) -> Answer:
    """Keep what they chose; the next page is as they like it."""
    language, theme = asked.text("language"), asked.text("theme", Theme.SYSTEM.value)
    if language and language not in languages():
        raise UsageError(N_("There are no texts in this language: {text}"), text=language)
    if theme not in THEMES:
        raise UsageError(N_("There is no such choice: {text}"), text=theme)
    chosen = Preferences(
        language=language,
        theme=Theme(theme),
        keys=asked.ticked("keys"),
        side_by_side=asked.ticked("side_by_side"),
    )
    asked.door.accounts.preferred.choose(asked.somebody.session.human, chosen)
    return Redirect(to="/settings", said="saved")


WAYS = (
    Way(path="/settings", handler=settings, right=Right.LOOK),
    Way(path="/settings", handler=choose, right=Right.LOOK, methods=("POST",)),
)
