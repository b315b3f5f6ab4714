"""Settings → notifications: through which channels people are told of what, and when."""

from __future__ import annotations

from typing import Final

from lastro.app.notifying.nouns import WANTED, Digest
from lastro.app.operation import Nothing
from lastro.app.permissions import Right
from lastro.app.requests.notify import ChannelList, ChannelName, NotifyAdd
from lastro.faces.console.asked import Answer, Asked, Page, Redirect, Way
from lastro.faces.wording.language_names import named_languages
from lastro.faces.wording.notice_words import digest_word, kind_word
from lastro.faces.wording.shell import command

HERE: Final = "/settings/notifications"


def notifications(asked: Asked) -> Answer:
    """All channels, and a form for a new one."""
    reply = asked.visit.call("notify.list", Nothing())
    assert isinstance(reply, ChannelList)
    values = {
        "channels": reply.channels,
        "kinds": [(kind.value, kind_word(kind.value)) for kind in WANTED],
        "digests": [(digest.value, digest_word(digest.value)) for digest in Digest],
        "languages": named_languages(),
        "kind_word": kind_word,
        "digest_word": digest_word,
        "command": command("lastro", "notify", "list"),
    }
    return Page(template="notifications.html", values=values)


def add(asked: Asked) -> Answer:
    """Tell people through a channel from now on."""
    request = NotifyAdd(
        name=asked.text("name").strip(),
        url=asked.text("url").strip(),
        kinds=asked.texts("kinds"),
        digest=asked.text("digest", "daily"),
        language=asked.text("language"),
    )
    asked.visit.call("notify.add", request)
    return Redirect(to=HERE, said="saved")


def remove(asked: Asked) -> Answer:
    """Tell nobody through a channel any more."""
    asked.visit.call("notify.remove", ChannelName(name=asked.text("name")))
    return Redirect(to=HERE, said="removed")


def test(asked: Asked) -> Answer:
    """Tell a test notice through a channel."""
    asked.visit.call("notify.test", ChannelName(name=asked.text("name")))
    return Redirect(to=HERE, said="tested")


WAYS = (
    Way(path=HERE, handler=notifications, right=Right.LOOK),
    Way(path=HERE, handler=add, right=Right.ADMINISTER, methods=("POST",), dangerous=True),
    Way(path=f"{HERE}/remove", handler=remove, right=Right.ADMINISTER, methods=("POST",), dangerous=True),
    Way(path=f"{HERE}/test", handler=test, right=Right.ADMINISTER, methods=("POST",)),
)
