"""Changing ``gateway.toml`` from a program."""

from __future__ import annotations

import multiprocessing
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.errors import ConfigError, ConflictError, NotFoundError
from lastro.filesystem.system import System
from lastro.gateway.configuration import read_settings
from lastro.gateway.configuration_edit import add_provider, edit_settings, remove_provider
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.provider import BASE_URLS, KeySource, ModelFacts, Provider, ProviderKind, ToolSupport

OWN = """# mine
[listen]   # here
address = "127.0.0.1:9"  # nine

# the good one
[providers.good]
kind = "openai"
key = {environment = "KEY"}  # from the shell
"""


def compatible(name):
    return Provider(name=name, kind=ProviderKind.COMPATIBLE, base_url="http://127.0.0.1:1/v1", local=True)


def names(path):
    return {provider.name for provider in read_settings(path).providers}


NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True).filter(
    lambda name: name not in {"auto", "lastro", "offline"}
)
TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
FACTS = st.builds(
    ModelFacts,
    context=st.integers(0, 10**6),
    output=st.integers(0, 10**6),
    tools=st.sampled_from(ToolSupport),
    images=st.none() | st.booleans(),
    kinds=st.just(()) | st.just(("edit", "server-routine")),
)
PROVIDERS = st.builds(
    Provider,
    name=NAMES,
    kind=st.sampled_from([ProviderKind.COMPATIBLE, ProviderKind.OPENAI, ProviderKind.GOOGLE]),
    base_url=st.just("https://192.0.2.1/v1"),
    key=st.just(KeySource())
    | st.just(KeySource(stored=True))
    | st.builds(KeySource, file=TEXTS.map(lambda text: "/" + text))
    | st.builds(KeySource, command=st.lists(TEXTS, min_size=1, max_size=3).map(tuple)),
    dialects=st.lists(st.sampled_from(Dialect), unique=True).map(tuple),
    models=st.dictionaries(TEXTS, FACTS, max_size=3),
    headers=st.dictionaries(st.just("x-project"), TEXTS, max_size=1),
    local=st.booleans(),
    enabled=st.booleans(),
)


@given(st.lists(PROVIDERS, unique_by=lambda provider: provider.name, max_size=4))
def test_what_was_added_is_what_is_read(tmp_path_factory, providers):
    path = f"{tmp_path_factory.mktemp('c')}/gateway.toml"
    for provider in providers:
        add_provider(path, provider)
    assert list(read_settings(path).providers[: len(providers)]) == providers
    for provider in providers:
        remove_provider(path, provider.name)
    assert names(path) == {"offline"}


def test_comments_and_order_stay(tmp_path):
    path = str(tmp_path / "gateway.toml")
    (tmp_path / "gateway.toml").write_text(OWN)
    os.chmod(path, 0o640)
    add_provider(path, compatible("other"))
    assert (tmp_path / "gateway.toml").read_text().startswith(OWN)
    remove_provider(path, "other")
    assert (tmp_path / "gateway.toml").read_text().strip() == OWN.strip()
    assert os.stat(path).st_mode & 0o777 == 0o640


def test_a_file_that_was_not_there_is_its_owners_alone(tmp_path):
    path = f"{tmp_path}/new/gateway.toml"
    add_provider(path, compatible("x"))
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert read_settings(path).providers[0].local


def test_providers_written_inline_become_tables(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text('providers = {a = {kind = "openai", key = {stored = true}}}\n')
    add_provider(str(path), compatible("b"))
    assert names(str(path)) == {"a", "b", "offline"}


def test_what_cannot_be_is_not_written(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(OWN + '[routes.default]\nmodels = ["good/x"]\n')
    before = path.read_bytes()
    with pytest.raises(ConflictError, match="already"):
        add_provider(str(path), compatible("good"))
    with pytest.raises(ConfigError, match="means something else"):
        add_provider(str(path), compatible("auto"))
    with pytest.raises(ConflictError, match="default"):
        remove_provider(str(path), "good")
    with pytest.raises(NotFoundError, match="nobody") as raised:
        remove_provider(str(path), "nobody")
    assert "good" in raised.value.hint_text
    assert path.read_bytes() == before
    path.write_text("[x]")
    with pytest.raises(ConfigError):
        add_provider(str(path), compatible("b"))
    assert path.read_text() == "[x]"


def test_an_editor_that_saved_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(OWN)

    def change(document, _before):
        path.write_text(OWN + "# saved meanwhile\n")
        document["allow_unknown_prices"] = True

    with pytest.raises(ConflictError, match="meanwhile"):
        edit_settings(str(path), change)
    assert path.read_text().endswith("# saved meanwhile\n")


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path):
    class Full(System):
        def write(self, descriptor, data):  # noqa: ARG002  the waist's own names
            raise OSError(28, "No space left on device")

    path = tmp_path / "gateway.toml"
    path.write_text(OWN)
    with pytest.raises(OSError, match="space"):
        add_provider(str(path), compatible("b"), system=Full())
    assert path.read_text() == OWN
    assert sorted(os.listdir(tmp_path)) == [".gateway.toml.lock", "gateway.toml"]


def add_some(path, first):
    for number in range(first, first + 5):
        add_provider(path, compatible(f"p{number}"))


@pytest.mark.slow
@pytest.mark.system
def test_writers_at_once_lose_nothing(tmp_path):
    path = f"{tmp_path}/gateway.toml"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=add_some, args=(path, first)) for first in (0, 5, 10)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert names(path) == {f"p{number}" for number in range(15)} | {"offline"}


def test_the_usual_address_of_a_kind_is_not_written(tmp_path):
    path = tmp_path / "gateway.toml"
    add_provider(
        str(path),
        Provider(name="x", kind=ProviderKind.MISTRAL, base_url=BASE_URLS[ProviderKind.MISTRAL]),
    )
    assert "base_url" not in path.read_text()
