"""``doctor``. What it looks at is loaded when it looks: the help of all commands comes by here."""

from __future__ import annotations

from lastro.app.desk import Desk
from lastro.app.operation import Effect, Nothing, Operation, Place
from lastro.app.requests.doctor import Diagnosis
from lastro.messages import N_


def diagnose(desk: Desk, _: Nothing) -> Diagnosis:
    """Look at everything."""
    from lastro.app import diagnosis  # noqa: PLC0415  see above

    return diagnosis.diagnose(desk)


OPERATIONS = (
    Operation(
        name="doctor",
        request=Nothing,
        reply=Diagnosis,
        effect=Effect.READ,
        place=Place.CALLER,
        run=diagnose,
        summary=N_("Whether this machine and this installation have what they need."),
        details=N_("Also which offline models fit this machine. It looks, and changes nothing."),
    ),
)
