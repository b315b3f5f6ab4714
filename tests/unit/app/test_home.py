"""Sockets are put only where nobody else can be."""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace

from lastro.app.home import make_socket_directory
from lastro.app.places import places_of
from lastro.errors import ConfigError


def make(path):
    make_socket_directory(replace(places_of("/nowhere"), sockets=str(path)))


def test_a_directory_that_others_can_enter_is_refused(tmp_path):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    with pytest.raises(ConfigError):
        make(open_to_all)
    make(tmp_path / "new")
    assert os.stat(tmp_path / "new").st_mode & 0o777 == 0o700
    os.symlink(tmp_path / "new", tmp_path / "link")
    with pytest.raises(ConfigError):
        make(tmp_path / "link")
