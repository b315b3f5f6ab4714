"""What operations on notifications are asked and answer. The address of a channel goes in and never comes out."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.messages import N_


class NotifyAdd(Struct, frozen=True, kw_only=True):
    """Tell people through a channel from now on."""

    name: Annotated[str, parameter(N_("How to call the channel."), cli="argument", metavar="NAME")]
    url: Annotated[
        str,
        parameter(
            N_("Read its address from standard input: one that Apprise knows, such as ntfy://TOPIC."),
            cli="secret",
        ),
    ] = ""
    kinds: Annotated[
        tuple[str, ...],
        parameter(
            N_(
                "What to tell: proposal, run_failed, server_silent, capture_missing, damage, sign_in (default: all)."
            ),
            metavar="KIND",
        ),
    ] = ()
    digest: Annotated[
        str,
        parameter(
            N_("When to tell what is not urgent: at_once, hourly, daily or never (default: daily)."),
            metavar="WHEN",
        ),
    ] = "daily"
    language: Annotated[
        str, parameter(N_("The language to tell it in (default: English)."), metavar="LANGUAGE")
    ] = ""


class ChannelName(Struct, frozen=True, kw_only=True):
    """One channel."""

    name: Annotated[str, parameter(N_("The channel's name."), cli="argument", metavar="NAME")]


class ChannelState(Struct, frozen=True, kw_only=True):
    """A channel. ``service``: what kind it is (``ntfy``); its address holds secrets, and is not shown.

    ``waiting``, ``sent_ns``, ``failed_ns`` are of the running keeper: notices that wait, when one arrived last, when one last did not.
    """

    name: str
    service: str
    kinds: tuple[str, ...]
    digest: str
    language: str = ""
    waiting: int = 0
    sent_ns: int = 0
    failed_ns: int = 0


class ChannelList(Struct, frozen=True, kw_only=True):
    """All channels, by name."""

    channels: tuple[ChannelState, ...]


class ChannelRemoved(Struct, frozen=True, kw_only=True):
    """It is gone, and so is what waited for it."""

    name: str


class ChannelTested(Struct, frozen=True, kw_only=True):
    """A test notice was taken by the channel's service."""

    name: str
