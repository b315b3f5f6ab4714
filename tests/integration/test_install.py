"""Each way to install Lastro works alone: base (command line and node) on a protected server, and the keeper on its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.capabilities import needs
from tests.offline_model import MODEL, kept_models

pytestmark = [pytest.mark.system, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    place = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "-w",
        str(place),
        str(ROOT),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return next(place.glob("*.whl"))


def install(place, requirement):
    """A fresh environment with nothing but ``requirement`` and what it needs."""
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True, timeout=120)
    pip = [str(place / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    done = subprocess.run([*pip, requirement], capture_output=True, text=True, check=False, timeout=300)
    needs(done.returncode == 0 or "No matching distribution" not in done.stderr, "a package index")
    assert done.returncode == 0, done.stderr
    return place / "bin" / "lastro"


def run(program, home, *arguments):
    done = subprocess.run(
        [str(program), *arguments],
        env={**os.environ, "LASTRO_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_base_alone_is_a_node_and_a_command_line(tmp_path, wheel):
    program = install(tmp_path / "venv", str(wheel))
    code, listed, _ = run(program.parent / "python", tmp_path, "-m", "pip", "list", "--format", "json")
    assert code == 0
    installed = {package["name"].lower() for package in json.loads(listed)}
    assert not installed & {"starlette", "uvicorn", "anyio", "aiohttp", "genai-prices", "xllamacpp"}
    home, root = tmp_path / "home", tmp_path / "root"
    root.mkdir()
    (root / "file").write_text("one\n")
    assert run(program, home, "--version")[0] == 0
    assert run(program, home, "node", "init", str(root))[0] == 0
    assert run(program, home, "init")[0] == 0
    assert run(program, home, "capture", str(root))[0] == 0
    (root / "file").unlink()
    assert run(program, home, "restore", str(root / "file"), "--yes")[0] == 0
    assert (root / "file").read_text() == "one\n"
    code, _, said = run(program, home, "keeper", "serve", "--lang", "pt_BR")
    assert code == 2
    assert "pip install 'lastro[keeper]'" in said
    code, _, said = run(program, home, "gateway", "serve")
    assert code == 2
    assert "pip install 'lastro[gateway]'" in said
    assert run(program, home, "gateway", "models", "list")[0] == 0
    assert run(program, home, "gateway", "status")[0] == 0
    code, said, _ = run(program, home, "doctor")
    assert code == 0
    assert "pip install 'lastro[agents]'" in said
    code, _, said = run(program, tmp_path / "fresh", "run", "--project", str(root), "--", "true")
    assert code == 2
    assert "pip install 'lastro[agents]'" in said
    assert not (tmp_path / "fresh" / "data").exists()
    code, _, said = run(program, home, "runner", "serve")
    assert code == 2
    assert "pip install 'lastro[agents]'" in said
    assert run(program, home, "runs", "list")[0] == 0
    assert run(program, home, "proposal", "list")[0] == 0
    assert run(program, home, "policy", "check", "--project", str(root))[0] == 0
    assert run(program, home, "project", "init", str(root))[0] == 0


@pytest.mark.needs("bubblewrap")
def test_agents_alone(tmp_path, wheel):
    """A run, its approval and its undo, without the offline engine and without anything that was set up before."""
    program = install(tmp_path / "venv", f"{wheel}[agents]")
    home, project = tmp_path / "home", tmp_path / "project"
    project.mkdir()
    (project / "file").write_text("one\n")
    code, out, said = run(
        program, home, "run", "--json", "--project", str(project), "--", "sh", "-c", "echo two >> file"
    )
    assert code == 0, said
    reply = json.loads(out.splitlines()[-1])["reply"]
    assert (reply["state"], reply["proposal"]) == ("finished", 1)
    assert (project / "file").read_text() == "one\n"
    typed(program, home, "approver", "add")
    typed(program, home, "proposal", "approve", "proposal-1", "--yes")
    assert (project / "file").read_text() == "one\ntwo\n"
    typed(program, home, "undo", "proposal-1", "--yes")
    assert (project / "file").read_text() == "one\n"
    assert run(program, home, "audit", "verify")[0] == 0
    code, _, said = run(program, home, "run", "--project", str(project), "--agent", "offline", "hello")
    assert code != 0
    assert "Traceback" not in said
    with subprocess.Popen(
        [str(program), "gateway", "serve", "--port", "0", "--json"],
        env={**os.environ, "LASTRO_HOME": str(home)},
        stdout=subprocess.PIPE,
    ) as gateway:
        assert gateway.stdout is not None
        assert any(b"listening" in line for line in iter(gateway.stdout.readline, b""))
        gateway.terminate()
        gateway.stdout.read()


def typed(program, home, *arguments):
    """A command that is given an approver's passphrase."""
    done = subprocess.run(
        [str(program), *arguments, "--passphrase-stdin"],
        env={**os.environ, "LASTRO_HOME": str(home)},
        input="correct horse battery staple\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_keeper_alone(tmp_path, wheel):
    program = install(tmp_path / "venv", f"{wheel}[keeper]")
    home = tmp_path / "home"
    assert run(program, home, "init")[0] == 0
    with subprocess.Popen(
        [str(program), "keeper", "serve", "--json"],
        env={**os.environ, "LASTRO_HOME": str(home)},
        stdout=subprocess.PIPE,
    ) as keeper:
        assert keeper.stdout is not None
        assert b"listening" in keeper.stdout.readline()
        code, out, _ = run(program, home, "status", "--json")
        keeper.terminate()
        keeper.stdout.read()
    assert code == 0
    assert json.loads(out)["reply"]["keeper"] is True


@pytest.mark.needs("offline-model")
def test_the_gateway_alone_with_its_offline_engine(tmp_path, wheel):
    program = install(tmp_path / "venv", f"{wheel}[gateway,offline]")
    home = tmp_path / "home"
    weights = kept_models().weights(MODEL)
    assert run(program, home, "gateway", "models", "import", weights, "--name", MODEL)[0] == 0
    with subprocess.Popen(
        [str(program), "gateway", "serve", "--port", "0", "--json"],
        env={**os.environ, "LASTRO_HOME": str(home)},
        stdout=subprocess.PIPE,
    ) as gateway:
        assert gateway.stdout is not None
        address = ""
        while not address:
            event = json.loads(gateway.stdout.readline())["event"]
            address = event["parameters"]["address"] if event["kind"] == "listening" else ""
        question = {"model": "auto", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
        request = urllib.request.Request(
            f"{address}/v1/chat/completions",
            data=json.dumps(question).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.headers["x-lastro-provider"] == "offline"
            assert json.load(answer)["choices"][0]["message"]["content"]
        gateway.terminate()
        gateway.stdout.read()
