"""What every ``Backend`` must do. A suite derives from ``BackendSuite`` and makes the backend; see ``test_backends.py``."""

from __future__ import annotations

import threading

import pytest

from lastro.errors import ConflictError, FormatError, LockedError, NotFoundError


class BackendSuite:
    """``backend``: a fixture with an empty backend; ``again``: one that makes another object over the same place."""

    def test_an_object_reads_back_whole_and_in_part(self, backend):
        backend.lock()
        backend.put("data/ab/cd", [b"hello ", b"", b"world"])
        assert backend.read("data/ab/cd") == b"hello world"
        assert backend.read("data/ab/cd", 6) == b"world"
        assert backend.read("data/ab/cd", 3, 4) == b"lo w"
        assert backend.read("data/ab/cd", 9, 100) == b"ld"
        assert backend.read("data/ab/cd", 100, 5) == b""
        assert backend.size("data/ab/cd") == 11

    def test_an_object_may_be_empty(self, backend):
        backend.lock()
        backend.put("format", [])
        assert backend.read("format") == b"" and backend.size("format") == 0

    def test_an_existing_object_is_never_replaced(self, backend):
        backend.lock()
        backend.put("index/a", [b"first"])
        with pytest.raises(ConflictError):
            backend.put("index/a", [b"second"])
        with pytest.raises(ConflictError):
            backend.append("index/a")
        assert backend.read("index/a") == b"first"

    def test_what_is_not_there_is_not_found(self, backend):
        backend.lock()
        for action in (backend.read, backend.size):
            with pytest.raises(NotFoundError):
                action("data/ab/none")
            with pytest.raises(NotFoundError):
                action("data")

    def test_names_are_sorted_and_of_their_folder_only(self, backend):
        backend.lock()
        for name in ("data/b/2", "data/a/9", "data/a/1", "datax/1", "format"):
            backend.put(name, [b"x"])
        assert list(backend.names("data")) == ["data/a/1", "data/a/9", "data/b/2"]
        assert list(backend.names("data/a")) == ["data/a/1", "data/a/9"]
        assert list(backend.names("nothing")) == []

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "/x",
            "x/",
            "a//b",
            "../x",
            "a/../b",
            ".x",
            "a/b/c/d",
            "a b",
            "é",
            "lock",
            "tmp/x",
            "a\0b",
            "x" * 201,
        ],
    )
    def test_impossible_names_are_refused(self, backend, name):
        backend.lock()
        for action in (backend.read, backend.size, backend.append, backend.names):
            with pytest.raises(FormatError):
                action(name)
        with pytest.raises(FormatError):
            backend.put(name, [b""])

    def test_an_appended_object_grows(self, backend):
        backend.lock()
        appender = backend.append("journal/1")
        assert backend.size("journal/1") == 0
        appender.append(b"one")
        assert backend.read("journal/1") == b"one"
        appender.append(b"two")
        appender.close()
        appender.close()
        assert backend.read("journal/1") == b"onetwo"
        assert list(backend.names("journal")) == ["journal/1"]

    def test_a_reader_needs_no_lock_and_sees_what_a_writer_does(self, backend, again):
        reader = again()
        backend.lock()
        backend.put("log/1", [b"x"])
        assert reader.read("log/1") == b"x" and list(reader.names("log")) == ["log/1"]

    def test_there_is_one_writer_and_epochs_grow(self, backend, again):
        first = backend.lock()
        other = again()
        with pytest.raises(LockedError):
            other.lock()
        first.release()
        first.release()
        second = other.lock()
        assert second.epoch > first.epoch > 0
        first.release()  # an old owner's release takes nothing from the new one
        with pytest.raises(LockedError):
            backend.lock()
        second.release()
        assert backend.lock().epoch > second.epoch

    def test_threads_do_not_disturb_each_other(self, backend):
        backend.lock()
        failures = []

        def work(number):
            try:
                for step in range(20):
                    name = f"data/{number}/{step}"
                    backend.put(name, [name.encode() * 50])
                    assert backend.read(name) == name.encode() * 50
            except Exception as error:  # noqa: BLE001
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == [] and len(list(backend.names("data"))) == 80
