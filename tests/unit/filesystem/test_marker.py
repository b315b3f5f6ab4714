from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.filesystem.marker import MARKER_NAME, UNKNOWN_MARKER, Marker, read_marker, write_marker
from lastro.filesystem.system import System
from tests import hard_files


def marker_of(directory):
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        return read_marker(descriptor)
    finally:
        os.close(descriptor)


def test_a_marker_reads_back(tmp_path):
    assert marker_of(tmp_path) is None
    for kind in ("data", "secrets"):
        marker = Marker(instance="0123456789abcdef", kind=kind)
        write_marker(str(tmp_path), marker, system=System())
        assert marker_of(tmp_path) == marker
    assert os.listdir(tmp_path) == [MARKER_NAME]


@given(data=st.binary(max_size=60))
def test_nonsense_is_a_marker_of_nobody(tmp_path_factory, data):
    directory = tmp_path_factory.mktemp("marked")
    (directory / MARKER_NAME).write_bytes(data)
    assert marker_of(directory) == UNKNOWN_MARKER


def test_too_much_is_nonsense(tmp_path):
    (tmp_path / MARKER_NAME).write_bytes(b'{"instance": "me", "kind": "' + b"x" * 5000 + b'"}')
    assert marker_of(tmp_path) == UNKNOWN_MARKER


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_only_a_plain_file_is_believed(tmp_path, kind):
    path = tmp_path / MARKER_NAME
    if kind == "link":
        hard_files.write(f"{tmp_path}/real", b'{"instance": "me", "kind": "data"}')
        path.symlink_to("real")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert marker_of(tmp_path) == UNKNOWN_MARKER


def test_an_o_path_descriptor_will_do(tmp_path):
    write_marker(str(tmp_path), Marker(instance="me", kind="run"), system=System())
    descriptor = os.open(tmp_path, os.O_PATH)
    assert read_marker(descriptor) == Marker(instance="me", kind="run")
    os.close(descriptor)
