from __future__ import annotations

from lastro.capture.notice import Notice, log_notice
from lastro.messages import Message


def test_a_path_in_the_log_cannot_play_with_the_terminal(caplog):
    path = "\x1b[2Jgone\nforged line\u202e\udcff"
    log_notice(
        Notice(
            code="not_watched",
            root="/",
            path=path,
            message=Message(msgid="See {path}.", parameters={"path": path}),
        )
    )
    assert caplog.messages == ["See \\x1b[2Jgone\\x0aforged line\\u202e\\xff."]
