"""``Visit``: how a face that people sign in to asks for operations in their name.

What always holds: every operation is asked for with the right it takes; what a visitor may not do is refused here, whatever the page
showed; an operation that needs a user's own rights (``Place.CALLER``) is a job, which a runner with those rights carries out; and a
secret (a passphrase, a passkey's signature) is used in this process for the one act, and stands in no job.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from lastro.app.desk import Desk
from lastro.app.encoding import decode, encode
from lastro.app.failure import Failure, error_of
from lastro.app.jobs import Jobs
from lastro.app.keeper_caller import KeeperCaller
from lastro.app.operation import Effect, Operation, Place, find_operation
from lastro.app.permissions import Principal, Right, require, right_of
from lastro.app.services import Services
from lastro.domain.job import FINAL_JOB_STATES, Job, JobOrder, JobState
from lastro.errors import ConflictError, DeniedError, UnreachableError
from lastro.messages import N_

RUNNER: Final = "runner"
KEEPER: Final = "keeper"

PATIENCE_S: Final = 20.0
"""How long a page waits for a short job."""


def run_in_keeper(services: Services, operation: Operation[Any, Any], request: Struct) -> Any:
    """What a KEEPER or HOME operation replies, in the keeper's own process."""
    if operation.place is Place.KEEPER:
        return operation.run(services, request)
    return operation.run(home_desk(services), request)


def refuse_secrets(request: Struct) -> None:
    """Refuse a request that holds a secret: a job is kept, and its request with it.

    Raises:
        DeniedError: it does.
    """
    for field in msgspec.inspect.type_info(type(request)).fields:  # type: ignore[attr-defined]
        extra = getattr(field.type, "extra", None) or {}
        if extra.get("cli") == "secret" and getattr(request, field.name):
            raise DeniedError(
                N_("A passphrase is not taken here: this becomes a job, and a job is kept."),
                hint=N_(
                    "Decide in the console, or at a terminal of the machine: there a passphrase is asked for."
                ),
            )


def home_desk(services: Services) -> Desk:
    """A desk for HOME operations: there is nothing of a user's within its reach."""
    return Desk(
        places=services.places,
        caller=KeeperCaller(services),
        clock=services.clock,
        actor=services.actor,
        local_source=_beyond_reach,
        destination=_beyond_reach,
        report=services.report,
        tell=services.publish,
    )


def _beyond_reach(path: str) -> Any:
    raise AssertionError(path)


class GoesOnError(UnreachableError):
    """A job is not over yet; nothing is lost, it goes on."""

    def __init__(self, job: Job) -> None:
        super().__init__(
            N_("job-{number} waits: no runner has taken it, or it takes longer."),
            hint=N_("Start one where 'lastro up' does not run: lastro runner serve"),
            number=job.number,
        )
        self.job = job.number


class Visit:
    """What one principal asks for. From any thread."""

    def __init__(
        self,
        services: Services,
        jobs: Jobs,
        principal: Principal | None,
        *,
        find: Callable[[str], Operation[Any, Any]] = find_operation,
    ) -> None:
        self.services = services if principal is None else services.for_actor(principal.actor)
        self.jobs = jobs
        self._principal = principal
        self._find = find

    @property
    def principal(self) -> Principal:
        """Who asks.

        Raises:
            DeniedError: nobody who is known.
        """
        if self._principal is None:
            raise DeniedError(N_("Nobody is signed in."), hint=N_("Sign in first."))
        return self._principal

    def call(self, name: str, request: Struct) -> Any:
        """Run a KEEPER or HOME operation, now and in this process, and give its reply.

        Raises:
            DeniedError: the principal may not.
            LastroError: whatever the operation raised.
        """
        operation = self._find(name)
        require(self.principal, right_of(operation))
        assert operation.place is not Place.CALLER, name
        return run_in_keeper(self.services, operation, request)

    def step(self, right: Right, name: str, request: Struct) -> Any:
        """Run a KEEPER operation that is a step of what takes ``right``.

        Raises:
            DeniedError: the principal may not.
            LastroError: whatever the operation raised.
        """
        require(self.principal, right)
        operation = self._find(name)
        assert operation.place is Place.KEEPER, name
        return operation.run(self.services, request)

    def submit(
        self, name: str, request: Struct, *, subject: str = "", key: str = "", repeatable: bool = False
    ) -> Job:
        """Have an operation carried out as a job; the job, as it was taken in.

        Raises:
            DeniedError: the principal may not.
        """
        operation = self._find(name)
        require(self.principal, right_of(operation))
        refuse_secrets(request)
        order = JobOrder(
            operation=name,
            request=encode(request),
            asker=self.principal.actor,
            place=RUNNER if operation.place is Place.CALLER else KEEPER,
            subject=subject,
            key=key,
            repeatable=repeatable or operation.effect is Effect.READ,
        )
        return self.jobs.submit(order)

    def ask(self, name: str, request: Struct, *, subject: str = "", patience_s: float = PATIENCE_S) -> Any:
        """As ``submit``, for a short operation that is waited for; its reply.

        Raises:
            DeniedError: the principal may not.
            UnreachableError: nobody carried it out in time; nothing is lost, the job goes on.
            LastroError: whatever the operation raised.
        """
        job = self.submit(name, request, subject=subject)
        return self.reply_of(self.jobs.find(job.number, until_over_s=patience_s)[0])

    def reply_of(self, job: Job) -> Any:
        """What the operation of a job replied.

        Raises:
            UnreachableError: it is not over yet.
            ConflictError: it was cancelled, or its worker died.
            LastroError: whatever the operation raised.
        """
        if job.state is JobState.FAILED:
            raise error_of(decode(job.failure, Failure))
        if job.state is JobState.DONE:
            return decode(job.reply, self._find(job.order.operation).reply)
        if job.state in FINAL_JOB_STATES:
            raise ConflictError(
                N_("job-{number} is {state}."),
                hint=N_("See what became of it: lastro job show job-{number}"),
                number=job.number,
                state=job.state.value,
            )
        raise GoesOnError(job)
