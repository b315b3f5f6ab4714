"""What is due goes out, through each channel that wants it; a channel that does not take it is tried again, more and more slowly.

What always holds: before anything is told it is looked at once more, and what was decided or is over is not told; a failure of one channel
keeps nothing from the others; nothing that is logged holds an address.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, Protocol

from lastro.app.notifying.nouns import Channel, Notice
from lastro.app.notifying.outbox import Outbox, Waiting
from lastro.errors import ConfigError
from lastro.messages import N_

ALONE: Final = 3
"""So many urgent notices are told one by one; more of them together."""
_NEVER: Final = 1 << 62


class Compose(Protocol):
    """Makes the text, in the language and with the links of a channel's reader."""

    def __call__(self, notices: Sequence[Notice], *, language: str, address: str) -> tuple[str, str]:
        """Title and body for one or more notices. ``address``: scheme, host and port of the console."""
        ...


class Post(Protocol):
    """Gives a message to a channel's service."""

    def __call__(self, url: str, title: str, body: str, *, urgent: bool) -> bool:
        """Whether the service took it. Does not raise for what lies with the service."""
        ...


class Sending(NamedTuple):
    """How notices go out."""

    outbox: Outbox
    compose: Compose
    post: Post
    stands: Callable[[Notice], bool]
    address: Callable[[], str]

    def send_due(self, channels: Sequence[Channel], now_ns: int) -> None:
        """Tell everything that is due by ``now_ns``."""
        for channel in channels:
            told = self._to_tell(channel, now_ns)
            urgent = [each for each in told if each.notice.urgent]
            rest = [each for each in told if not each.notice.urgent]
            groups = [[each] for each in urgent] if len(urgent) <= ALONE else [urgent]
            for group in [*groups, *([rest] if rest else [])]:
                if self._post(channel, [each.notice for each in group]):
                    self.outbox.ended([each.number for each in group], "sent", now_ns)
                else:
                    self.outbox.put_off(group, now_ns)

    def test(self, channel: Channel, notice: Notice) -> bool:
        """Tell one notice now, past the outbox."""
        return self._post(channel, [notice])

    def _to_tell(self, channel: Channel, now_ns: int) -> list[Waiting]:
        """What is due and still stands. What a notice takes back that was not told yet is dropped with it: nobody needs either."""
        due = self.outbox.due(channel.name, now_ns)
        if not due:
            return []
        waiting = self.outbox.due(channel.name, _NEVER)
        answered = {each.notice.after for each in waiting if each.notice.after}
        gone = {each.number for each in waiting if each.notice.key in answered}
        for each in due:
            after = each.notice.after
            if (after and not self.outbox.was_sent(channel.name, after)) or not self.stands(each.notice):
                gone.add(each.number)
        if gone:
            self.outbox.ended(gone, "dropped", now_ns)
        return [each for each in due if each.number not in gone]

    def _post(self, channel: Channel, notices: Sequence[Notice]) -> bool:
        title, body = self.compose(notices, language=channel.language, address=self.address())
        return self.post(channel.url, title, body, urgent=any(notice.urgent for notice in notices))


def post_by_apprise(url: str, title: str, body: str, *, urgent: bool) -> bool:
    """``Post`` by the library Apprise, which speaks to some hundred services.

    Raises:
        ConfigError: Lastro was installed without it.
    """
    apprise = _apprise()
    kind = apprise.NotifyType.WARNING if urgent else apprise.NotifyType.INFO
    sender = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Lastro", app_desc="Lastro", app_url=""))
    if not sender.add(url):
        return False
    try:
        return bool(
            sender.notify(title=title, body=body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
        )
    except Exception:  # noqa: BLE001  a hundred services in one library: whatever it is, the channel did not take it
        return False


def is_known_address(url: str) -> bool:
    """Whether Apprise knows what to do with an address.

    Raises:
        ConfigError: Lastro was installed without it.
    """
    found: bool = _apprise().Apprise.instantiate(url, suppress_exceptions=True) is not None
    return found


@cache
def _apprise() -> Any:
    """The library with all its services, silent: what it logs would hold addresses."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own imports
            import apprise  # noqa: PLC0415  slow to import, and only of the extra

            apprise.Apprise.instantiate("json://localhost")
    except ModuleNotFoundError as error:
        raise ConfigError(
            N_("This installation tells nobody: {module} is missing."),
            hint=N_("Install it with: pip install 'lastro[console]'"),
            module=error.name,
        ) from error
    for name in ("apprise", "urllib3"):
        logger = logging.getLogger(name)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    return apprise
