"""One-time links: for who is at this machine's terminal, and for somebody new.

What always holds: a link is given to who asked at a terminal of this machine, or to an owner in the console, and never to a program with a
token; it is good once.
"""

from __future__ import annotations

import importlib.util
from typing import Final

from lastro.accounts.nouns import LINK_NS, LinkPurpose
from lastro.app.account_file import accounts_of
from lastro.app.humans import human_named, human_of, humans_of
from lastro.app.keeper_settings import read_keeper_settings
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.enrolling import roles_of
from lastro.app.requests.accounts import Invite, Login, OneTimeLink
from lastro.app.services import Services
from lastro.domain.policy import HumanRole
from lastro.errors import ConfigError, ConflictError
from lastro.messages import N_
from lastro.proposals.approver_keys import check_name

INVITE_NS: Final = 24 * 3600 * 1_000_000_000
"""For how long (a day) somebody invited may come."""
SETUP_PATH: Final = "/setup"
LINK_PATH: Final = "/link"


def login(services: Services, _: Login) -> OneTimeLink:
    """A link for whose account asks; before there is any owner, the link with which the first one is made."""
    uid = -1 if services.actor.uid is None else services.actor.uid
    if not humans_of(services):
        return _made(services, LinkPurpose.SETUP, "", uid=uid)
    human = human_of(services, services.actor)
    return _made(services, LinkPurpose.LOGIN, human.name, uid=human.uid)


def invite(services: Services, request: Invite) -> OneTimeLink:
    """A link for somebody new."""
    check_name(request.name)
    roles = tuple(role.value for role in roles_of(request.role or (HumanRole.VIEWER.value,)))
    if not humans_of(services):
        raise ConflictError(
            N_("There is no owner yet, and only an owner invites."),
            hint=N_("Make the owner's account first: lastro login"),
        )
    if human_named(services, request.name) is not None:
        raise ConflictError(
            N_("{name} is enrolled already."),
            hint=N_("See 'lastro approver list'."),
            name=request.name,
        )
    return _made(services, LinkPurpose.INVITE, request.name, uid=-1, roles=roles, lasts_ns=INVITE_NS)


def _made(
    services: Services,
    purpose: LinkPurpose,
    human: str,
    *,
    uid: int,
    roles: tuple[str, ...] = (),
    lasts_ns: int = LINK_NS,
) -> OneTimeLink:
    console = read_keeper_settings(services.places.keeper_settings).console
    if not console.enabled:
        raise ConfigError(
            N_("The console is switched off."),
            hint=N_("Switch it on in {path}: [console] enabled = true"),
            path=services.places.keeper_settings,
        )
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigError(
            N_("This installation has no console."),
            hint=N_("Install what that needs with: pip install 'lastro[console]'"),
        )
    now_ns = services.clock.wall_ns()
    with accounts_of(services) as accounts:
        secret = accounts.links.make(purpose, human, uid=uid, roles=roles, now_ns=now_ns, lasts_ns=lasts_ns)
    path = SETUP_PATH if purpose is LinkPurpose.SETUP else LINK_PATH
    return OneTimeLink(
        url=f"{console.url}{path}#{secret}",
        path=path,
        fragment=secret,
        purpose=purpose.value,
        human=human,
        ends_ns=now_ns + lasts_ns,
    )


OPERATIONS = (
    Operation(
        name="login",
        request=Login,
        reply=OneTimeLink,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=login,
        summary=N_("Print a link that signs you in to the console, once."),
        details=N_(
            "It is for whose account runs this command. Before there is an owner it leads to making the owner's account."
        ),
    ),
    Operation(
        name="invite",
        request=Invite,
        reply=OneTimeLink,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=invite,
        summary=N_("Print a link with which somebody new makes their account."),
        details=N_("What they make lets them in once an owner signed for it."),
    ),
)
