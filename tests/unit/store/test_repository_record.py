"""One record by its place in the log."""

from __future__ import annotations

from tests.store_kit import Kit, commit


def test_a_record_is_found_by_its_seq():
    kit = Kit()
    with kit.create() as repository:
        commit(repository, b"x", drafts=3)
        every = list(repository.records())
        assert [repository.record(stored.seq) for stored in every] == every
        assert [repository.record(seq) for seq in (-2, -1, len(every), 2**62)] == [None] * 4
