"""Tokens: programs that ask in somebody's name.

What always holds: a token's secret is in one reply and nowhere else; nobody gives one what they may not do themselves; none is made by a
program that has only a token.
"""

from __future__ import annotations

from typing import Final

from lastro.accounts.nouns import Token
from lastro.app.account_file import accounts_of
from lastro.app.humans import Human, human_of
from lastro.app.operation import Effect, Operation, Place
from lastro.app.operations.sessions import whose
from lastro.app.permissions import Right
from lastro.app.requests.accounts import (
    AddToken,
    RevokeToken,
    TokenAdded,
    TokenItem,
    TokensList,
    TokensReply,
)
from lastro.app.services import Services
from lastro.errors import DeniedError, NotFoundError, UsageError
from lastro.messages import N_
from lastro.proposals.values import to_seconds

LONGEST_LABEL: Final = 64
NEVER: Final = "never"
_SECOND: Final = 1_000_000_000


def list_tokens(services: Services, request: TokensList) -> TokensReply:
    """Your tokens; an owner sees everybody's."""
    human = human_of(services, services.actor)
    with accounts_of(services) as accounts:
        found = accounts.tokens.of(whose(human, everybody=request.all))
    return TokensReply(tokens=tuple(_item(token) for token in found))


def add(services: Services, request: AddToken) -> TokenAdded:
    """Make a token."""
    human = human_of(services, services.actor)
    scopes = _scopes(human, request.scope)
    label = request.label.strip()
    if not label or len(label) > LONGEST_LABEL or not label.isprintable():
        raise UsageError(
            N_("A token needs a label: what it is for, in at most {limit} characters."), limit=LONGEST_LABEL
        )
    now_ns = services.clock.wall_ns()
    ends_ns = _ends(request.expires, now_ns)
    with accounts_of(services) as accounts:
        secret, token = accounts.tokens.make(
            human.name, uid=human.uid, label=label, scopes=scopes, now_ns=now_ns, ends_ns=ends_ns
        )
    return TokenAdded(token=_item(token), secret=secret)


def revoke(services: Services, request: RevokeToken) -> TokensReply:
    """Let a token of yours open nothing any more; as an owner anybody's."""
    human = human_of(services, services.actor)
    with accounts_of(services) as accounts:
        found = next((token for token in accounts.tokens.of("") if token.id == request.token), None)
        if found is None or (found.human != human.name and Right.ADMINISTER not in human.rights):
            raise NotFoundError(
                N_("There is no token {id}."), hint=N_("See 'lastro token list'."), id=request.token
            )
        accounts.tokens.revoke(found.id)
    return TokensReply(tokens=(_item(found),))


def _scopes(human: Human, names: tuple[str, ...]) -> tuple[str, ...]:
    wanted = dict.fromkeys(names or (Right.LOOK.value,))
    for name in wanted:
        if name not in {right.value for right in Right}:
            raise UsageError(
                N_("There is no right '{name}'."),
                hint=N_("There are: {all}"),
                name=name,
                all=", ".join(Right),
            )
        if Right(name) not in human.rights:
            raise DeniedError(
                N_("You may not do this: it takes the right '{right}'."),
                hint=N_("A token can do at most what you may."),
                right=name,
            )
    return tuple(right.value for right in Right if right.value in wanted or right is Right.LOOK)


def _ends(text: str, now_ns: int) -> int:
    if text.strip() == NEVER:
        return 0
    try:
        return now_ns + to_seconds(text) * _SECOND
    except ValueError:
        raise UsageError(
            N_("{text} is no length of time."), hint=N_("Write 12h, 90d, or never."), text=text
        ) from None


def _item(token: Token) -> TokenItem:
    return TokenItem(
        id=token.id,
        human=token.human,
        label=token.label,
        scopes=token.scopes,
        began_ns=token.began_ns,
        ends_ns=token.ends_ns,
        used_ns=token.used_ns,
    )


OPERATIONS = (
    Operation(
        name="token.list",
        request=TokensList,
        reply=TokensReply,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=list_tokens,
        summary=N_("List the tokens with which programs ask in your name."),
    ),
    Operation(
        name="token.add",
        request=AddToken,
        reply=TokenAdded,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=add,
        summary=N_("Make a token for a program; its secret is shown this once."),
        details=N_("It can do at most what you may at that time, and never approves anything."),
    ),
    Operation(
        name="token.revoke",
        request=RevokeToken,
        reply=TokensReply,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=revoke,
        summary=N_("Let a token open nothing any more."),
    ),
)
