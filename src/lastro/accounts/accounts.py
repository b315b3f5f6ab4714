"""``Accounts``: everything about signing in, over one database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lastro.accounts.attempts import Attempts
from lastro.accounts.challenges import Challenges
from lastro.accounts.database import AccountsDatabase, open_accounts_file
from lastro.accounts.enrolments import Enrolments
from lastro.accounts.first_run import FirstRun
from lastro.accounts.links import Links
from lastro.accounts.passkeys import Passkeys
from lastro.accounts.preferred import Preferred
from lastro.accounts.second_factors import SecondFactors
from lastro.accounts.sessions import Sessions
from lastro.accounts.tokens import Tokens


class Accounts:
    """The parts, each with its own few verbs."""

    def __init__(self, database: AccountsDatabase) -> None:
        self._database = database
        self.sessions = Sessions(database)
        self.tokens = Tokens(database)
        self.links = Links(database)
        self.second_factors = SecondFactors(database)
        self.passkeys = Passkeys(database)
        self.attempts = Attempts(database)
        self.challenges = Challenges()
        self.preferred = Preferred(database)
        self.enrolments = Enrolments(database)
        self.first_run = FirstRun(database)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()


@contextmanager
def opened_accounts(path: str, *, set_aside: Callable[[str], None] = lambda _: None) -> Iterator[Accounts]:
    """The accounts in the file ``path``, made if it is missing, while the context lasts. Several processes may have it open."""
    accounts = Accounts(open_accounts_file(path, set_aside=set_aside))
    try:
        yield accounts
    finally:
        accounts.close()
