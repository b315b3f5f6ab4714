import json
import os
import signal
import subprocess
import sys

import pytest

from lastro.errors import DamagedError, LockedError, StorageFullError
from lastro.store.backends.local import LocalBackend
from lastro.store.backends.memory import MemoryBackend
from tests.conformance.backends import BackendSuite


class TestMemoryBackend(BackendSuite):
    @pytest.fixture
    def backend(self):
        return MemoryBackend()

    @pytest.fixture
    def again(self, backend):
        return lambda: backend


class TestLocalBackend(BackendSuite):
    @pytest.fixture
    def backend(self, again):
        return again()

    @pytest.fixture
    def again(self, tmp_path):
        return lambda: LocalBackend(str(tmp_path / "repository"))

    def test_everything_is_the_owners_alone(self, backend):
        backend.lock()
        backend.put("data/ab/x", [b"x"])
        backend.append("journal/1").close()
        for folder, _, files in os.walk(backend.path):
            assert os.stat(folder).st_mode & 0o077 == 0
            for file in files:
                assert os.stat(os.path.join(folder, file)).st_mode & 0o177 == 0

    def test_reading_makes_nothing(self, backend):
        assert list(backend.names("data")) == []
        assert not os.path.exists(backend.path)

    def test_a_new_writer_clears_what_an_interrupted_one_left(self, backend, again):
        lock = backend.lock()
        with open(os.path.join(backend.path, "tmp", "00000007"), "wb") as file:
            file.write(b"half")
        lock.in_doubt = True  # as after a crash: nobody wrote that all was well
        lock.release()
        again().lock()
        assert os.listdir(os.path.join(backend.path, "tmp")) == []

    def test_the_lock_says_who_holds_it(self, backend, again):
        backend.lock()
        with pytest.raises(LockedError) as raised:
            again().lock()
        assert raised.value.parameters["pid"] == os.getpid()

    def test_a_lock_file_cut_short_does_not_turn_epochs_back(self, backend, again):
        lock = backend.lock()
        backend.append("journal/0000000a-00000001").close()
        lock.release()
        with open(os.path.join(backend.path, "lock"), "wb") as file:
            file.write(b'{"epo')
        assert again().lock().epoch == 11

    def test_a_dead_owners_lock_is_taken_over(self, backend, again):
        program = (
            "import sys, time; from lastro.store.backends.local import LocalBackend;"
            "LocalBackend(sys.argv[1]).lock(); print('locked', flush=True); time.sleep(60)"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program, backend.path], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout.readline() == "locked\n"
            with pytest.raises(LockedError) as raised:
                backend.lock()
            assert raised.value.parameters["pid"] == process.pid
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
        assert again().lock().epoch == 2

    def test_the_reserve_is_left_free(self, tmp_path):
        backend = LocalBackend(str(tmp_path / "r"), reserve=1 << 60)
        backend.lock()
        with pytest.raises(StorageFullError):
            backend.put("data/a", [b"x"])
        with pytest.raises(StorageFullError):
            backend.append("journal/1")
        assert list(backend.names("data")) == []
        assert os.listdir(os.path.join(backend.path, "tmp")) == []

    def test_other_peoples_files_are_not_objects(self, backend):
        backend.lock()
        backend.put("data/ab/x", [b"x"])
        for name in (".DS_Store", "not an object"):
            with open(os.path.join(backend.path, "data", name), "wb"):
                pass
        os.symlink("/etc/passwd", os.path.join(backend.path, "data", "link"))
        assert list(backend.names("data")) == ["data/ab/x"]
        with pytest.raises(DamagedError):
            backend.read("data/link")

    def test_a_clean_end_is_noted(self, backend):
        lock = backend.lock()
        path = os.path.join(backend.path, "lock")
        with open(path) as file:
            assert json.load(file)["clean"] is False
        lock.release()
        with open(path) as file:
            assert json.load(file)["clean"] is True
