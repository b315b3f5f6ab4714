"""The recovery kit, while it still lies beside the configuration: to be written down, and typed back to show that it was."""

from __future__ import annotations

import os
import re
from typing import Final

from lastro.app.account_file import accounts_of
from lastro.app.operation import Effect, Operation, Place
from lastro.app.requests.accounts import ConfirmKit, KitReply, ShowKit
from lastro.app.services import Services
from lastro.errors import NotFoundError, UsageError
from lastro.messages import N_

CONFIRMED: Final = "kit"
_LONGEST: Final = 64 * 1024
_KEY: Final = re.compile(r"^\s*((?:[0-9A-Z]{5}-)+[0-9A-Z]{5})\s*$", re.MULTILINE)
_ALIKE: Final = str.maketrans("ILO", "110")


def show(services: Services, _: ShowKit) -> KitReply:
    """The kit's text; empty once it was moved away."""
    path = services.places.recovery_kit
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return KitReply(path=path, text="")
    with open(descriptor, "rb") as file:
        text = file.read(_LONGEST).decode("utf-8", "replace")
    return KitReply(path=path, text=text, groups=len(_groups(text)))


def confirm(services: Services, request: ConfirmKit) -> KitReply:
    """Hear a group of the key typed back."""
    kit = show(services, ShowKit())
    groups = _groups(kit.text)
    if not 0 < request.number <= len(groups):
        raise NotFoundError(
            N_("The recovery kit is not in {path} any more."),
            hint=N_("Where it was moved away, it is well; go on."),
            path=kit.path,
        )
    if request.group.strip().upper().translate(_ALIKE) != groups[request.number - 1]:
        raise UsageError(
            N_("This is not group {number} of the recovery key."),
            hint=N_("Count the groups between the dashes, and type that one as you wrote it down."),
            number=request.number,
        )
    with accounts_of(services) as accounts:
        accounts.first_run.done(CONFIRMED, services.clock.wall_ns())
    return kit


def _groups(text: str) -> list[str]:
    found = _KEY.search(text)
    return found[1].split("-") if found else []


OPERATIONS = (
    Operation(
        name="recovery.show",
        request=ShowKit,
        reply=KitReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=show,
        summary=N_("Show the recovery kit, while it still lies on this machine."),
        internal=True,
    ),
    Operation(
        name="recovery.confirm",
        request=ConfirmKit,
        reply=KitReply,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=confirm,
        summary=N_("Say that the recovery kit was written down."),
        internal=True,
    ),
)
