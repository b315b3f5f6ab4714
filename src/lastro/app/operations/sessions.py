"""Sessions: browsers that are signed in, and signing them out."""

from __future__ import annotations

from lastro.accounts.nouns import Session
from lastro.app.account_file import accounts_of
from lastro.app.humans import Human, human_of
from lastro.app.operation import Effect, Operation, Place
from lastro.app.permissions import Right
from lastro.app.requests.accounts import RevokeSession, SessionItem, SessionsList, SessionsReply
from lastro.app.services import Services
from lastro.errors import DeniedError, NotFoundError
from lastro.messages import N_


def list_sessions(services: Services, request: SessionsList) -> SessionsReply:
    """Where you are signed in; an owner sees everybody."""
    human = human_of(services, services.actor)
    with accounts_of(services) as accounts:
        found = accounts.sessions.of(whose(human, everybody=request.all), services.clock.wall_ns())
    return SessionsReply(sessions=tuple(_item(session) for session in found))


def revoke(services: Services, request: RevokeSession) -> SessionsReply:
    """Sign a browser out: your own, or as an owner anybody's."""
    human = human_of(services, services.actor)
    with accounts_of(services) as accounts:
        everybody = accounts.sessions.of("", services.clock.wall_ns())
        found = next((session for session in everybody if session.id == request.session), None)
        if found is None or (found.human != human.name and Right.ADMINISTER not in human.rights):
            raise NotFoundError(
                N_("There is no session {id}."), hint=N_("See 'lastro session list'."), id=request.session
            )
        accounts.sessions.end(found.id)
    return SessionsReply(sessions=(_item(found),))


def whose(human: Human, *, everybody: bool) -> str:
    """Whose things a human sees: their own; everybody's (``""``) where they ask for it and may.

    Raises:
        DeniedError: they may not.
    """
    if not everybody:
        return human.name
    if Right.ADMINISTER not in human.rights:
        raise DeniedError(
            N_("You may not do this: it takes the right '{right}'."),
            hint=N_("Whoever is an owner here can give you a role that has it."),
            right=Right.ADMINISTER.value,
        )
    return ""


def _item(session: Session) -> SessionItem:
    return SessionItem(
        id=session.id,
        human=session.human,
        means=session.means,
        began_ns=session.began_ns,
        seen_ns=session.seen_ns,
        ends_ns=session.ends_ns,
        address=session.address,
        browser=session.browser,
    )


OPERATIONS = (
    Operation(
        name="session.list",
        request=SessionsList,
        reply=SessionsReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=list_sessions,
        summary=N_("List the browsers that are signed in to the console as you."),
    ),
    Operation(
        name="session.revoke",
        request=RevokeSession,
        reply=SessionsReply,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=revoke,
        summary=N_("Sign a browser out."),
    ),
)
