import pytest

from lastro.store import pack, transaction
from tests.store_kit import Kit


@pytest.fixture
def kit():
    return Kit()


@pytest.fixture
def cached(tmp_path):
    """A kit whose index is kept in a file."""
    return Kit(cache=str(tmp_path / "cache" / "index.db"))


@pytest.fixture
def small_packs(monkeypatch):
    """Spills early and makes packs of a few frames, so that tests of bulk need no megabytes."""
    monkeypatch.setattr(transaction, "SPILL_SIZE", 2000)
    monkeypatch.setattr(transaction, "PACK_SIZE", 6000)
    monkeypatch.setattr(pack, "GROUP_SIZE", 2000)
