"""What Click says by itself, marked for our catalogues: Click asks the same gettext domain (``translation.use_language``).

Nothing imports this; it is read by the tools that gather sentences. A test compares it with what Click really says.
"""

from __future__ import annotations

from typing import Final

from lastro.faces.translation import ngettext
from lastro.messages import N_

MESSAGES: Final = (
    N_("Usage:"),
    N_("Commands"),
    N_("Missing command."),
    N_("Missing argument"),
    N_("Missing option"),
    N_("No such option {name!r}."),
    N_("Option {name!r} does not take a value."),
    N_("Argument {name!r} takes {nargs} values."),
    N_("Invalid value for {param_hint}: {message}"),
    N_("{value!r} is not a valid {number_type}."),
    ngettext("Got unexpected extra argument ({args})", "Got unexpected extra arguments ({args})", 1),
    ngettext("Option {name!r} requires an argument.", "Option {name!r} requires {nargs} arguments.", 1),
    ngettext("Did you mean {possibility}?", "(Did you mean one of: {possibilities}?)", 1),
    ngettext("{value!r} is not {choice}.", "{value!r} is not one of {choices}.", 1),
)
