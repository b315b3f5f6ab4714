"""``proposal edit``: a human changes what is proposed, in their own editor, and a new revision stands.

What always holds: the editor works on copies in a directory of this user alone, under harmless names; an editor that fails, or a proposal
that got another revision meanwhile, changes nothing, and copies in which anything was written are kept and named in the error.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from lastro.app.desk import Desk
from lastro.app.operations.proposal.making import record_state
from lastro.app.operations.proposal.naming import path_in, paths_in
from lastro.app.operations.proposal.preparing import show, sides_of
from lastro.app.operations.proposal.sides import Sides, WrittenContent
from lastro.app.requests.proposals import Edited, EditProposal, ProposalReply, Proposed, Revise
from lastro.chunking.digest import digest_of
from lastro.domain.changes import Change, ChangeSet
from lastro.domain.entry import Entry, differing
from lastro.domain.paths import name_of, to_bytes
from lastro.domain.proposal import ChangeNote, Flag, Selection
from lastro.domain.snapshot import Reason
from lastro.errors import ConflictError, LastroError, UsageError
from lastro.messages import N_
from lastro.proposals.rows import REVISABLE
from lastro.proposals.selecting import select

_HARMLESS: Final = re.compile(r"[^A-Za-z0-9._-]")
_MOST_FILES: Final = 100


def edit(desk: Desk, request: EditProposal) -> Edited:
    """Edit what is proposed, and make a new revision of it."""
    shown = show(desk, request.proposal)
    _refuse_over(shown)
    sides = sides_of(desk, shown)
    dropped = tuple(dict.fromkeys(path for text in request.drop for path in paths_in(shown, text)))
    named = [path_in(shown, text) for text in request.file]
    if both := [path for path in named if path in dropped]:
        raise UsageError(N_("{path} cannot be edited and left out at once."), path=both[0])
    if dropped and not named:
        revision = _revise(desk, shown, sides, _wanted(sides, {}, set(dropped), desk.clock.wall_ns()), {})
        return Edited(proposal=shown.proposal, revision=revision, dropped=dropped)
    with _copies(desk, shown.proposal, texts_of(shown, sides, named)) as copies:
        return _revised(desk, shown, sides, copies.edited(), dropped)


def rewrite(desk: Desk, shown: ProposalReply, written: Mapping[str, bytes]) -> Edited:
    """Make a new revision in which these texts stand, by path; none where they stand already.

    Raises:
        ConflictError: it cannot be edited any more, or has another revision by now.
        UsageError: one of them is no text that can be edited.
    """
    _refuse_over(shown)
    sides = sides_of(desk, shown)
    texts = texts_of(shown, sides, list(written))
    different = {path: content for path, content in written.items() if content != texts[path]}
    return _revised(desk, shown, sides, different, ())


def _revised(
    desk: Desk, shown: ProposalReply, sides: Sides, written: Mapping[str, bytes], dropped: tuple[str, ...]
) -> Edited:
    if not written and not dropped:
        return Edited(proposal=shown.proposal, revision=shown.revision)
    wanted = _wanted(sides, written, set(dropped), desk.clock.wall_ns())
    revision = _revise(desk, shown, sides, wanted, written)
    return Edited(proposal=shown.proposal, revision=revision, changed=tuple(sorted(written)), dropped=dropped)


def _refuse_over(shown: ProposalReply) -> None:
    if shown.state not in REVISABLE:
        raise ConflictError(
            N_("proposal-{number} is {state}, so nothing of it can be edited any more."),
            hint=N_("See 'lastro proposal show proposal-{number}'."),
            number=shown.proposal,
            state=shown.state,
        )


def texts_of(shown: ProposalReply, sides: Sides, named: Sequence[str]) -> dict[str, bytes]:
    """The proposed texts to edit.

    Raises:
        UsageError: there is none, or too many to open at once.
    """
    paths = named or [change.path for change in sides.changes.changes if change.after is not None]
    texts = {
        path: content for path in paths if (content := sides.after(path)) is not None and b"\0" not in content
    }
    if missing := [path for path in named if path not in texts]:
        raise UsageError(
            N_("{path} is not a text that can be edited."),
            hint=N_("Leave its change out with --drop {path}."),
            path=missing[0],
        )
    if not texts or len(texts) > _MOST_FILES:
        raise UsageError(
            N_("proposal-{number} has {count} texts to edit."),
            hint=N_("Name some with --file, or leave changes out with --drop."),
            number=shown.proposal,
            count=len(texts),
        )
    return texts


@contextlib.contextmanager
def _copies(desk: Desk, number: int, texts: Mapping[str, bytes]) -> Iterator[_Copies]:
    """Copies of ``texts`` for the editor. They go when they are not wanted any more; after an error whoever wrote in them finds them there.

    Raises:
        LastroError: what went wrong, and where the copies are if anything was written in them.
    """
    directory = f"{desk.places.state}/edits/{number}-{secrets.token_hex(4)}"
    os.makedirs(directory, mode=0o700)
    files = {
        path: f"{directory}/{position:03}-{_HARMLESS.sub('_', name_of(path))[-80:]}"
        for position, path in enumerate(texts, start=1)
    }
    copies = _Copies(directory, dict(texts), files)
    try:
        for path, file in files.items():
            with open(file, "xb") as out:
                out.write(texts[path])
        yield copies
    except LastroError as error:
        if copies.untouched():
            shutil.rmtree(directory)
            raise
        raise type(error)(
            error.msgid,
            hint=N_("The proposal stays as it is. What you wrote is in {place}."),
            **{**error.parameters, "place": directory},
        ) from error
    shutil.rmtree(directory)


@dataclass(frozen=True, slots=True)
class _Copies:
    """Files under harmless names in a directory of this user alone. ``files``: where the copy of each path is."""

    directory: str
    texts: Mapping[str, bytes]
    files: Mapping[str, str]

    def edited(self) -> dict[str, bytes]:
        """What a human made of them in their editor: those that are different now.

        Raises:
            UsageError: the editor cannot be started.
            LastroError: it failed.
        """
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        try:
            status = subprocess.run([*shlex.split(editor), *self.files.values()], check=False).returncode
        except (OSError, ValueError) as error:
            raise UsageError(
                N_("The editor {editor} cannot be started: {reason}"),
                hint=N_("Say in VISUAL or EDITOR which one to use."),
                editor=editor,
                reason=str(error),
            ) from error
        if status != 0:
            raise LastroError(
                N_("The editor ended with status {status}."),
                hint=N_("The proposal stays as it is."),
                status=status,
            )
        now = {path: self._now(file) for path, file in self.files.items()}
        if gone := [path for path, content in now.items() if content is None]:
            raise UsageError(
                N_("The editor left no file for {path}, so the proposal stays as it is."),
                hint=N_("Leave its change out with --drop {path}."),
                path=gone[0],
            )
        return {
            path: content
            for path, content in now.items()
            if content is not None and content != self.texts[path]
        }

    def untouched(self) -> bool:
        """Whether nothing was written in them."""
        return all(self._now(file) in {None, self.texts[path]} for path, file in self.files.items())

    def _now(self, file: str) -> bytes | None:
        try:
            with open(file, "rb") as edited:
                return edited.read()
        except FileNotFoundError:
            return None


def _wanted(sides: Sides, written: Mapping[str, bytes], dropped: set[str], now_ns: int) -> tuple[Change, ...]:
    """The change set as the human wants it.

    Raises:
        UsageError: what is left cannot stand by itself, or nothing is.
    """
    wanted = []
    for change in _left(sides, dropped):
        after = change.after
        if change.path in written and after is not None:
            after = _with_content(after, written[change.path], now_ns)
        if change.before is not None and after is not None and not differing(change.before, after):
            continue
        wanted.append(Change(path=change.path, before=change.before, after=after))
    if not wanted:
        raise UsageError(
            N_("Nothing would be left of the proposal."), hint=N_("Reject it: lastro proposal reject")
        )
    return tuple(wanted)


def _left(sides: Sides, dropped: set[str]) -> tuple[Change, ...]:
    """The change set without ``dropped``."""
    changes = sides.changes
    files = tuple(to_bytes(change.path) for change in changes.changes if change.path not in dropped)
    if not files or not dropped:
        return changes.changes if not dropped else ()
    left = select(changes, Selection(files=files), sides)
    if left.brought:
        raise UsageError(
            N_("{path} cannot be left out: something else needs it."),
            hint=N_("Leave that out too: what lies in it, or is another name of it."),
            path=left.brought[0],
        )
    return left.changes.changes


def _with_content(entry: Entry, content: bytes, now_ns: int) -> Entry:
    return msgspec.structs.replace(
        entry, size=len(content), digest=digest_of(content), mtime_ns=now_ns, holes=(), torn=False
    )


def _revise(
    desk: Desk,
    shown: ProposalReply,
    sides: Sides,
    wanted: tuple[Change, ...],
    written: Mapping[str, bytes],
) -> int:
    """Record the new revision; its number."""
    recorded = record_state(
        desk,
        shown.target,
        before=shown.before_seq,
        changes=wanted,
        content=WrittenContent(desk.caller, sides.after_items, written),
        reason=Reason.EDIT,
    )
    digest = ChangeSet(wanted).digest.hex()
    notes = _notes(shown, {change.path for change in wanted}, set(written))
    reply = desk.caller.call(
        "proposal.revise",
        Revise(
            proposal=shown.proposal,
            was=shown.revision,
            reason="edit",
            before=shown.before_seq,
            after=recorded.after,
            change_digest=digest,
            checks=(),  # they ran on something else
            notes=notes,
            risk=shown.risk,
        ),
    )
    assert isinstance(reply, Proposed)
    return reply.revision


def _notes(shown: ProposalReply, paths: set[str], written: set[str]) -> tuple[ChangeNote, ...]:
    """What is still known of each path. What a human wrote is known to be what they want, and of no step."""
    notes = []
    for file in shown.files:
        for path in (file.path, file.old_path) if file.old_path else (file.path,):
            flags = tuple(Flag(flag) for flag in file.flags)
            if path in written:
                flags = tuple(flag for flag in flags if flag is not Flag.BASE_UNCERTAIN)
            steps = () if path in written else file.steps
            if path in paths and (flags or steps):
                notes.append(ChangeNote(path=to_bytes(path), flags=flags, steps=steps))
    return tuple(notes)
