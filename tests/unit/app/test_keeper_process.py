"""Sockets are put only where nobody else can be."""

from __future__ import annotations

import os

import pytest

from lastro.app.keeper_process import _make_private
from lastro.errors import ConfigError


def test_a_directory_that_others_can_enter_is_refused(tmp_path):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(mode=0o755)
    with pytest.raises(ConfigError):
        _make_private(str(open_to_all))
    _make_private(str(tmp_path / "new"))
    assert os.stat(tmp_path / "new").st_mode & 0o777 == 0o700
    os.symlink(tmp_path / "new", tmp_path / "link")
    with pytest.raises(ConfigError):
        _make_private(str(tmp_path / "link"))
