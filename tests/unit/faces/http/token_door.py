"""A door whose tokens say who they are: ``NAME:ROLE,ROLE``."""

from __future__ import annotations

from lastro.app.permissions import Principal, rights_of
from lastro.domain.record import Actor
from tests.console_kit import DoorOfTests


class TokenDoor(DoorOfTests):
    """See the module."""

    def bearer(self, secret):
        name, colon, roles = secret.partition(":")
        if not colon:
            return None
        return Principal(
            actor=Actor(kind="human", name=name), rights=rights_of(roles.split(",")), how="token"
        )
