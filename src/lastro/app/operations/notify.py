"""Operations on notifications: ``notify.add``, ``notify.list``, ``notify.remove``, ``notify.test``."""

from __future__ import annotations

from lastro.app.notifying.channels import (
    CHANGING,
    MOST_CHANNELS,
    checked_channel,
    read_channels,
    service_of,
    write_channels,
)
from lastro.app.notifying.nouns import Channel
from lastro.app.notifying.sending import is_known_address
from lastro.app.operation import Effect, Nothing, Operation, Place
from lastro.app.requests.notify import (
    ChannelList,
    ChannelName,
    ChannelRemoved,
    ChannelState,
    ChannelTested,
    NotifyAdd,
)
from lastro.app.services import Services
from lastro.errors import ConflictError, LimitError, NotFoundError, UnreachableError, UsageError
from lastro.messages import N_


def add(services: Services, request: NotifyAdd) -> ChannelState:
    """Tell people through a channel from now on."""
    channel = checked_channel(
        request.name, request.url, request.kinds, request.digest or "daily", request.language
    )
    if not is_known_address(channel.url):
        raise UsageError(
            N_("Apprise knows no service for this address."),
            hint=N_("Write it as Apprise does, such as ntfy://TOPIC or mailto://USER:PASSWORD@HOST."),
        )
    path = services.places.notification_settings
    with CHANGING:
        known = read_channels(path)
        if any(each.name == channel.name for each in known):
            raise ConflictError(
                N_("There is a channel called {name} already."),
                hint=N_("Remove it first: lastro notify remove {name}"),
                name=channel.name,
            )
        if len(known) >= MOST_CHANNELS:
            raise LimitError(N_("There are {count} channels already; no more fit."), count=len(known))
        write_channels(path, [*known, channel])
    return _state(services, channel)


def show_all(services: Services, _: Nothing) -> ChannelList:
    """All channels, without their addresses."""
    known = read_channels(services.places.notification_settings)
    return ChannelList(channels=tuple(_state(services, channel) for channel in known))


def remove(services: Services, request: ChannelName) -> ChannelRemoved:
    """Tell nobody through a channel any more."""
    path = services.places.notification_settings
    with CHANGING:
        channel = _find(services, request.name)
        write_channels(path, [each for each in read_channels(path) if each.name != channel.name])
    if services.alerts is not None:
        services.alerts.forget(channel.name)
    return ChannelRemoved(name=channel.name)


def test(services: Services, request: ChannelName) -> ChannelTested:
    """Tell a test notice through a channel, now."""
    channel = _find(services, request.name)
    if services.alerts is None:
        raise UnreachableError(
            N_("No keeper is running."),
            hint=N_("Start it with 'lastro keeper serve' or 'lastro up', then try again."),
        )
    services.alerts.test(channel)
    return ChannelTested(name=channel.name)


def _find(services: Services, name: str) -> Channel:
    for channel in read_channels(services.places.notification_settings):
        if channel.name == name:
            return channel
    raise NotFoundError(
        N_("There is no channel called {name}."), hint=N_("See 'lastro notify list'."), name=name
    )


def _state(services: Services, channel: Channel) -> ChannelState:
    work = services.alerts.work(channel.name) if services.alerts is not None else None
    return ChannelState(
        name=channel.name,
        service=service_of(channel.url),
        kinds=tuple(kind.value for kind in channel.kinds),
        digest=channel.digest.value,
        language=channel.language,
        waiting=work.waiting if work else 0,
        sent_ns=work.sent_ns if work else 0,
        failed_ns=work.failed_ns if work else 0,
    )


OPERATIONS = (
    Operation(
        name="notify.add",
        request=NotifyAdd,
        reply=ChannelState,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=add,
        summary=N_("Tell people through a channel from now on."),
    ),
    Operation(
        name="notify.list",
        request=Nothing,
        reply=ChannelList,
        effect=Effect.READ,
        place=Place.KEEPER,
        run=show_all,
        summary=N_("Through which channels people are told, and of what."),
    ),
    Operation(
        name="notify.remove",
        request=ChannelName,
        reply=ChannelRemoved,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=remove,
        summary=N_("Tell nobody through a channel any more."),
    ),
    Operation(
        name="notify.test",
        request=ChannelName,
        reply=ChannelTested,
        effect=Effect.CHANGE,
        place=Place.KEEPER,
        run=test,
        summary=N_("Tell a test notice through a channel, now."),
    ),
)
