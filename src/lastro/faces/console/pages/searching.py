"""Looking for a name in all of history."""

from __future__ import annotations

from typing import Final

from lastro.app.permissions import Right
from lastro.app.requests import Find, FindReply
from lastro.faces.console.addresses import unescaped
from lastro.faces.console.asked import Answer, Asked, Page, Way
from lastro.faces.console.history_pieces import WORDS
from lastro.faces.wording.shell import command

MOST: Final = 200


def search(asked: Asked) -> Answer:
    """Paths whose name is what was asked for, or holds it."""
    words = asked.text("q").strip()
    name = unescaped(words)
    pattern = name if not name or any(one in name for one in "*?[/") else f"*{name}*"
    server, deleted = asked.text("server"), asked.ticked("deleted")
    reply = FindReply(items=())
    if pattern:
        reply = asked.visit.call("find", Find(name=pattern, server=server, deleted=deleted, limit=MOST))
        assert isinstance(reply, FindReply)
    options = [*(["--deleted"] if deleted else []), *(["--server", server] if server else [])]
    values = {
        "words": words,
        "server": server,
        "deleted": deleted,
        "reply": reply,
        **WORDS,
        "command": command("lastro", "find", pattern or "*.conf", *options),
    }
    return Page(template="history_search.html", values=values)


WAYS = (Way(path="/search", handler=search, right=Right.LOOK),)
