"""Opens the accounts of a home for one operation: what signing in is kept with comes with the keeper's extra alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lastro.app.services import Services
from lastro.errors import ConfigError
from lastro.messages import N_

if TYPE_CHECKING:  # a process that asks a keeper needs none of it
    from lastro.accounts.accounts import Accounts


@contextmanager
def accounts_of(services: Services) -> Iterator[Accounts]:
    """The accounts, while the context lasts.

    Raises:
        ConfigError: Lastro was installed without what a keeper needs.
    """
    try:
        from lastro.accounts.accounts import opened_accounts  # noqa: PLC0415  see the module
    except ImportError as error:
        raise ConfigError(
            N_("This installation keeps no accounts."),
            hint=N_("Install what that needs with: pip install 'lastro[console]'"),
        ) from error
    with opened_accounts(services.places.accounts_database) as accounts:
        yield accounts
