"""A directory as it was, unpacked by another program than the one that packed it."""

from __future__ import annotations

import os
import subprocess

import pytest

from lastro.app.operations.tar import tar
from lastro.app.requests.listing import Tar
from lastro.domain.reference import AtId, Reference
from lastro.errors import NotFoundError
from tests.console_kit import console_over
from tests.decision_kit import Office

LONG = "long/" + "/".join(["n" * 200] * 3)


@pytest.fixture
def office(tmp_path):
    files = {
        "plain": b"one\n",
        "empty": b"",
        "caf\udce9\n\x1b": b"odd name",
        LONG: b"deep",
        "block": b"x" * 512,
        "big": os.urandom(3_000_001),
    }
    return Office.made(str(tmp_path), files)


def packed(services, path, number=1):
    reply = tar(
        services,
        Tar(reference=Reference(server="local", path=path, at=AtId("snap", number, before=False))),
    )
    whole, position = bytearray(reply.size), 0
    for offset, data in reply.blocks:
        assert position <= offset, "blocks come in order"
        position = offset + len(data)
        whole[offset:position] = data
    assert len(whole) == reply.size
    return bytes(whole)


def unpacked(raw, place):
    os.makedirs(place)
    subprocess.run(["tar", "-x", "-p", "-C", place], input=raw, check=True)
    return place


def seen(top):
    found = {}
    for parent, directories, names in os.walk(os.fsencode(top)):
        for name in (*directories, *names):
            place = os.path.join(parent, name)
            state = os.lstat(place)
            kind = os.readlink(place) if os.path.islink(place) else b""
            content = b""
            if os.path.isfile(place) and not kind:
                with open(place, "rb") as file:
                    content = file.read()
            found[os.path.relpath(place, os.fsencode(top))] = (
                state.st_mode,
                kind,
                content,
                state.st_mtime_ns if not kind else 0,
            )
    return found


def test_it_unpacks_to_what_was_there(office, tmp_path):
    os.symlink("plain", f"{office.root}/link")
    os.symlink(b"no\xffwhere", os.fsencode(f"{office.root}/dangling"))
    os.link(f"{office.root}/plain", f"{office.root}/same")
    os.mkfifo(f"{office.root}/pipe")
    os.chmod(f"{office.root}/block", 0o4755)
    with open(f"{office.root}/holes", "wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    os.utime(f"{office.root}/empty", ns=(1, 1_700_000_000_123_456_789))
    with office.desk() as desk:
        office.capture(desk)
    with console_over(office) as kit:
        raw = packed(kit.services, office.root, 2)
    top = unpacked(raw, str(tmp_path / "out"))
    assert os.listdir(top) == ["project"]
    assert seen(f"{top}/project") == seen(office.root)
    assert os.stat(f"{top}/project/same").st_ino == os.stat(f"{top}/project/plain").st_ino


def test_a_hard_link_whose_file_lies_outside_is_the_file(office, tmp_path):
    os.makedirs(f"{office.root}/z")
    os.link(f"{office.root}/plain", f"{office.root}/z/same")
    with office.desk() as desk:
        office.capture(desk)
    with console_over(office) as kit:
        top = unpacked(packed(kit.services, f"{office.root}/z", 2), str(tmp_path / "out"))
    with open(f"{top}/z/same", "rb") as file:
        assert file.read() == b"one\n"


def test_what_was_never_there_is_said(office):
    with console_over(office) as kit, pytest.raises(NotFoundError):
        packed(kit.services, f"{office.root}/never")
