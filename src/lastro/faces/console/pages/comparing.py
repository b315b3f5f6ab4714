"""What differs between two instants of a path, or between one and now; and the bytes of any version, to keep."""

from __future__ import annotations

from typing import Any, Final

from lastro.app.caller import Bytes
from lastro.app.permissions import Right
from lastro.app.requests import Cat, Compare, Diff, Difference, FileDifference
from lastro.app.requests.listing import Listing, ListPlace, Tar
from lastro.domain.entry import EntryType
from lastro.domain.job import FINAL_JOB_STATES, Job, JobState
from lastro.domain.paths import name_of
from lastro.errors import LastroError, NotFoundError
from lastro.faces.console.addresses import unescaped
from lastro.faces.console.asked import Answer, Asked, Download, Page, Redirect, Way
from lastro.faces.console.differences import cut, first_part, rows_of, said
from lastro.faces.console.history_pieces import WORDS
from lastro.faces.console.images import HEAD, media_type
from lastro.faces.console.instants import place_asked, reference_of, with_instant
from lastro.faces.console.patch_text import hunks_of_patch
from lastro.faces.console.properties import properties_of, summary
from lastro.faces.wording.shell import command
from lastro.messages import N_

MOST_PATHS: Final = 500
"""Paths that differ on one page."""


def compare(asked: Asked) -> Answer:
    """What differs between the instants ``old`` and ``new``."""
    server, path = place_asked(asked)
    old, new = asked.text("old"), asked.text("new")
    before, after = reference_of(asked, server, path, old), reference_of(asked, server, path, new)
    found = asked.visit.step(Right.LOOK, "compare", Compare(before=before, after=after, names=True))
    assert isinstance(found, Difference)
    if _is_one_file(found):
        found = asked.visit.step(Right.LOOK, "compare", Compare(before=before, after=after))
        assert isinstance(found, Difference)
    line = command("lastro", "diff", with_instant(server, path, old), with_instant(server, path, new))
    return Page(template="history_compare.html", values=_values(found, server, path, line, old=old, new=new))


def compare_live(asked: Asked) -> Answer:
    """Have an instant compared with what is there now: a job, which captures the present first."""
    server, path = asked.text("server"), unescaped(asked.text("path"))
    before = reference_of(asked, server, path, asked.text("at"))
    asked.visit.call("ls", ListPlace(reference=before, limit=1))  # only what history knows already
    request = Diff(before=before, names=asked.ticked("names"))
    job = asked.visit.submit("diff", request, subject=f"{server}:{path}")
    return Redirect(to=f"/differences/{job.number}", said="started")


def live(asked: Asked) -> Answer:
    """What a comparison with the present found."""
    job = asked.visit.jobs.find(asked.number("job"))[0]
    if job.order.operation != "diff":
        raise NotFoundError(N_("There is no such page."), hint=N_("The menu leads to every page there is."))
    values = _waiting(asked, job)
    return Page(template="history_live.html", values=values, part="detail" if asked.part == "detail" else "")


def _waiting(asked: Asked, job: Job) -> dict[str, Any]:
    values: dict[str, Any] = {
        "job": job,
        "over": job.state in FINAL_JOB_STATES,
        "problem": None,
        "found": None,
    }
    if job.state is not JobState.DONE:
        values["problem"] = _problem(asked, job)
        return values
    found = asked.visit.reply_of(job)
    assert isinstance(found, Difference)
    server, path = found.before.server, found.before.path
    line = command("lastro", "diff", with_instant(server, path, f"snap-{found.before.snapshot}"))
    old, new = f"snap-{found.before.snapshot}", f"snap-{found.after.snapshot}"
    return {**values, **_values(found, server, path, line, old=old, new=new)}


def _problem(asked: Asked, job: Job) -> LastroError | None:
    if job.state not in FINAL_JOB_STATES:
        return None
    try:
        asked.visit.reply_of(job)
    except LastroError as error:
        return error
    return None


def _values(found: Difference, server: str, path: str, line: str, *, old: str, new: str) -> dict[str, Any]:
    one = found.files[0] if _is_one_file(found) else None
    return {
        "found": found,
        "server": server,
        "path": path,
        "old": old,
        "new": new,
        "one": _shown(one) if one else None,
        "files": [(file, summary(file.before, file.after)) for file in found.files[:MOST_PATHS]],
        "left": max(0, len(found.files) - MOST_PATHS),
        "command": line,
        **WORDS,
    }


def _is_one_file(found: Difference) -> bool:
    return len(found.files) == 1 and found.files[0].path == ""


def _shown(file: FileDifference) -> dict[str, Any]:
    part = first_part(hunks_of_patch(file.patch)) if file.patch else None
    return {
        "file": file,
        "properties": properties_of(file.before, file.after),
        "hunks": [(said(hunk), cut(rows_of(hunk))) for hunk in part.hunks] if part else [],
        "left": part.left if part else 0,
        "binary": file.binary,
    }


def download(asked: Asked) -> Answer:
    """The bytes of a version, or a directory as a tar; ``inline``: an image to be shown."""
    server, path = place_asked(asked)
    reference = reference_of(asked, server, path, asked.text("at"))
    listing = asked.visit.call("ls", ListPlace(reference=reference, limit=1))
    assert isinstance(listing, Listing)
    name = name_of(path) or server
    if listing.itself.entry.type is EntryType.DIRECTORY:
        packed = asked.visit.call("tar", Tar(reference=reference))
        assert isinstance(packed, Bytes)
        return Download(
            name=f"{name}.tar", size=packed.size, blocks=lambda: packed.blocks, media_type="application/x-tar"
        )
    reply = asked.visit.call("cat", Cat(reference=reference))
    assert isinstance(reply, Bytes)
    if not asked.ticked("inline"):
        return Download(name=name, size=reply.size, blocks=lambda: reply.blocks)
    head = next((data[:HEAD] for offset, data in reply.blocks if offset == 0), b"")
    kind = media_type(head)
    if not kind:
        raise NotFoundError(N_("This is no image that a browser may show."), hint=N_("Download it instead."))
    again = asked.visit.call("cat", Cat(reference=reference))
    assert isinstance(again, Bytes)
    return Download(name=name, size=again.size, blocks=lambda: again.blocks, media_type=kind, inline=True)


WAYS = (
    Way(path="/compare/{server}/{path:path}", handler=compare, right=Right.LOOK),
    Way(path="/compare", handler=compare_live, right=Right.OPERATE, methods=("POST",)),
    Way(path="/differences/{job}", handler=live, right=Right.LOOK),
    Way(path="/download/{server}/{path:path}", handler=download, right=Right.LOOK),
)
