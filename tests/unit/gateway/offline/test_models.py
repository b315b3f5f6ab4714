"""Importing and keeping models: whole or not at all, and exactly the bytes that were given."""

from __future__ import annotations

import contextlib
import hashlib
import os

import pytest

from lastro.errors import (
    DamagedError,
    FormatError,
    LastroError,
    LockedError,
    NotFoundError,
    StorageFullError,
    UsageError,
)
from lastro.filesystem.system import System
from lastro.gateway.offline import importing
from lastro.gateway.offline.importing import import_file, name_from
from lastro.gateway.offline.models import MANIFEST, PARTIAL, ModelDirectory
from lastro.gateway.provider import ToolSupport
from tests.gguf_files import gguf_bytes

BYTES = gguf_bytes()


@pytest.fixture
def directory(tmp_path):
    return ModelDirectory(str(tmp_path / "models"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "Some Model.Q4_1.GGUF"
    path.write_bytes(BYTES)
    return str(path)


def test_an_imported_model_is_listed_with_what_it_is(directory, file):
    seen = []
    model = import_file(directory, file, progress=lambda *step: seen.append(step))
    assert directory.models() == (model,)
    assert model.name == "some-model.q4_1"
    assert model.digest == hashlib.sha256(BYTES).hexdigest()
    assert (model.size, model.context, model.source) == (len(BYTES), 4096, "Some Model.Q4_1.GGUF")
    assert model.facts.context == 4096 and model.facts.images is False
    assert model.tools is ToolSupport.NO
    assert seen[-1] == ("copy", len(BYTES), len(BYTES))
    directory.verify(model.name)
    with open(directory.weights(model.name), "rb") as weights:
        assert weights.read() == BYTES
    assert os.stat(directory.weights(model.name)).st_mode & 0o777 == 0o600


def test_a_template_that_knows_tools_leaves_them_open_and_the_catalogue_knows_better(directory, tmp_path):
    path = tmp_path / "a.gguf"
    path.write_bytes(gguf_bytes({"tokenizer.chat_template": "{{ tools }}"}))
    assert import_file(directory, str(path)).tools is ToolSupport.UNKNOWN
    known = import_file(directory, str(path), name="codestral-22b")
    assert known.tools is ToolSupport.NO and "Non-Production" in known.licence


def test_a_link_shares_the_bytes_and_a_copy_does_not(directory, file):
    import_file(directory, file, name="linked", link=True)
    import_file(directory, file, name="copied")
    assert os.path.samefile(directory.weights("linked"), file)
    assert not os.path.samefile(directory.weights("copied"), file)


def test_one_of_the_same_name_is_replaced(directory, file, tmp_path):
    import_file(directory, file, name="a")
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf_bytes({"llama.context_length": 1}))
    import_file(directory, str(other), name="a")
    assert [model.context for model in directory.models()] == [1]
    assert sorted(os.listdir(directory.path)) == [".lock", "a"]


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"not a model at all", FormatError), (BYTES[:-1], DamagedError), (BYTES[:50], DamagedError)],
)
def test_a_wrong_file_leaves_nothing(directory, tmp_path, data, error):
    path = tmp_path / "a.gguf"
    path.write_bytes(data)
    with pytest.raises(error):
        import_file(directory, str(path))
    assert directory.models() == ()


class _Failing(System):
    """Fails at the ``left``-th change of the disk."""

    def __init__(self, left):
        self.left = left

    def _count(self):
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")

    def write(self, descriptor, data):
        self._count()
        super().write(descriptor, data)

    def sync(self, descriptor):
        self._count()
        super().sync(descriptor)

    def rename(self, *names):
        self._count()
        super().rename(*names)


def test_a_failure_at_any_step_leaves_the_old_model_the_new_one_or_none_whole(tmp_path, file):
    for left in range(20):
        directory = ModelDirectory(str(tmp_path / str(left)), system=_Failing(left))
        with contextlib.suppress(OSError):
            import_file(directory, file, name="a", system=_Failing(left))
        for model in directory.models():
            directory.verify(model.name)
        plain = ModelDirectory(directory.path)
        import_file(plain, file, name="a")
        assert sorted(os.listdir(plain.path)) == [".lock", "a"]
    assert left == 19


def test_damage_is_found_and_what_is_missing_named(directory, file):
    import_file(directory, file, name="a")
    with open(directory.weights("a"), "r+b") as weights:
        weights.seek(-1, os.SEEK_END)
        weights.write(b"\x01")
    with pytest.raises(DamagedError):
        directory.verify("a")
    os.truncate(directory.weights("a"), 10)
    with pytest.raises(DamagedError):
        directory.verify("a")
    os.unlink(directory.weights("a"))
    with pytest.raises(DamagedError):
        directory.verify("a")
    with open(f"{directory.path}/a/{MANIFEST}", "wb") as manifest:
        manifest.write(b"{}")
    with pytest.raises(DamagedError):
        directory.model("a")
    directory.remove("a")
    for missing in ("a", "../a", "", ".lock"):
        with pytest.raises(NotFoundError):
            directory.model(missing)
        with pytest.raises(NotFoundError):
            directory.remove(missing)


def test_two_at_once_are_refused_and_leftovers_removed(directory, file):
    with directory.changing():
        with pytest.raises(LockedError):
            import_file(directory, file)
        os.mkdir(f"{directory.path}/{PARTIAL}half")
    assert directory.models() == ()
    with directory.changing():
        assert os.listdir(directory.path) == [".lock"]


def test_a_full_disk_is_noticed_before_anything_is_copied(directory, file, monkeypatch):
    monkeypatch.setattr(importing, "SPARE", 1 << 60)
    with pytest.raises(StorageFullError):
        import_file(directory, file)
    assert directory.models() == ()


def test_names(directory, file):
    assert name_from("/x/Qwen2.5 Coder (7B).gguf") == "qwen2.5-coder-7b"
    assert name_from("/x/....gguf") == "model"
    for name in ("A", "../a", ".a", "a/b", "x" * 65):
        with pytest.raises(UsageError):
            import_file(directory, file, name=name)
    with pytest.raises(LastroError):
        import_file(directory, "/nowhere.gguf")
