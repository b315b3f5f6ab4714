"""What goes wrong around a gateway: signals, readers that are gone, a home of somebody else, registries out of reach, odd files."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.gguf_files import gguf_bytes
from tests.integration.commands import Home, wait_until
from tests.integration.gateway import CHAT, Gateway, configure, running_gateway
from tests.integration.providers import provider
from tests.upstreams import Fault, FaultKind, Says, Turn

pytestmark = pytest.mark.system
STREAMS = 20
DRIP = Turn(says=Says(text="x" * 400, piece=1), pause_s=0.1)
KEY = "sk-hostile-0123456789abcdefghijklmnop"


@pytest.fixture
def home(tmp_path):
    return Home(str(tmp_path / "home"))


def one_provider(home, upstream, more=""):
    configure(
        home,
        f'[providers.one]\nkind = "compatible"\nbase_url = "{upstream.base_url}"\ndialects = ["chat"]\nlocal = true\n{more}'
        '[routes.default]\nmodels = ["one/m"]\n',
    )


# Ends


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_while_answers_stream_and_each_is_recorded(home, number):
    with provider(lambda _: DRIP) as upstream:
        one_provider(home, upstream)
        with running_gateway(home) as gateway, ThreadPoolExecutor(STREAMS) as pool:

            def ask():
                try:
                    return gateway.post("/v1/chat/completions", {**CHAT, "stream": True}).body
                except (OSError, http.client.HTTPException) as error:
                    return str(error).encode()

            asked = [pool.submit(ask) for _ in range(STREAMS)]
            wait_until(lambda: len(upstream.requests) == STREAMS)
            assert gateway.process.stop(number) == 0
            assert all(b"[DONE]" not in one.result(20) for one in asked)
    assert os.listdir(f"{home.path}/run") == [".lastro-directory"]
    recorded = home.ask("gateway", "exchanges", "search", "--limit", "100")["exchanges"]
    assert len(recorded) == STREAMS
    assert {one["outcome"] for one in recorded} == {"abandoned"}


def test_nohup_keeps_it(home):
    command = ["nohup", *home.command("gateway", "serve", "--port", "0", "--json")]
    process = subprocess.Popen(
        command, env=home.surroundings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    with process:
        try:
            read_until(process.stdout, b'"listening"')
            process.send_signal(signal.SIGHUP)
            assert home.run("gateway", "status", "--json").reply["running"] is True
        finally:
            process.terminate()
        assert process.wait(30) == 0


# Readers


def read_until(stream, word):
    for line in stream:
        if word in line:
            return line
    raise AssertionError("it ended")


@pytest.mark.parametrize("reader", ["gone", "asleep"])
def test_it_goes_on_when_nobody_reads_what_it_says(home, reader):
    with provider(lambda _: Turn()) as upstream:
        one_provider(home, upstream)
        command = home.command("gateway", "serve", "--port", "0", "--json")
        process = subprocess.Popen(
            command,
            env=home.surroundings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pipesize=4096,
        )
        with process:
            try:
                said = json.loads(read_until(process.stdout, b'"listening"'))
                gateway = Gateway(home, process, said["event"]["parameters"]["address"])
                if reader == "gone":
                    process.stdout.close()
                for _ in range(60):
                    assert gateway.post("/v1/chat/completions", CHAT).status == 200
                assert process.poll() is None
            finally:
                process.terminate()
            assert process.wait(15) in {0, 141}
            assert b"Traceback" not in process.stderr.read()


# Two of them


def test_a_second_gateway_says_what_is_in_its_way(home, tmp_path):
    with running_gateway(home) as gateway:
        again = home.run("gateway", "serve", "--port", "0", "--json")
        assert (again.code, again.result["code"]) == (11, "locked")
        assert str(gateway.process.process.pid) in again.result["message"]
        assert "gateway" in again.result["message"] and "--home" in again.result["hint"]
        port = gateway.address.rpartition(":")[2]
        other = Home(str(tmp_path / "other")).run("gateway", "serve", "--port", port, "--json")
        assert other.code == 2
        assert "--port" in other.result["hint"]


def test_it_listens_on_version_6_and_says_where(home):
    configure(home, '[listen]\naddress = "[::1]:0"\n')
    with running_gateway(home) as gateway:
        assert gateway.address.startswith("http://[::1]:")
        assert gateway.get("/v1/models").status == 200
        assert home.ask("gateway", "env", "codex")["address"] == gateway.address


# Models


def test_a_registry_out_of_reach_is_said_as_that(home):
    home.environment = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_CONFIG_FILE": os.devnull,
        "no_proxy": "*",
    }
    answer = home.run("gateway", "models", "pull", "smollm2", "--json")
    assert (answer.code, answer.result["retryable"]) == (75, True)
    assert "Connection refused" in answer.result["message"]
    assert "127.0.0.1" not in answer.result["message"]
    assert "models import" in answer.result["hint"]
    assert os.listdir(f"{home.path}/data/gateway/models") == [".lock"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_import_that_is_stopped_leaves_no_model_and_the_next_one_works(home, tmp_path, number):
    big = tmp_path / "big.gguf"
    big.write_bytes(gguf_bytes())
    os.truncate(big, 4 << 30)
    command = home.command("gateway", "models", "import", str(big), "--json")
    models = f"{home.path}/data/gateway/models"
    weights = f"{models}/.partial-big/model.gguf"
    with subprocess.Popen(
        command, env=home.surroundings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as process:
        wait_until(lambda: any(Path(models).glob(".*big*/*")) or process.poll() is not None)
        second = home.run("gateway", "models", "import", str(big), "--json")
        process.send_signal(number)
        out = process.stdout.read()
        code = process.wait(30)
    assert second.result["code"] == "locked", weights
    if number == signal.SIGINT:
        assert code == 130
        assert json.loads(out.splitlines()[-1])["code"] == "interrupted"
        assert os.listdir(models) == [".lock"]
    assert not [one for one in home.ask("gateway", "models", "list")["models"] if one["pulled"]]
    os.truncate(big, len(gguf_bytes()))
    home.ask("gateway", "models", "import", str(big))
    assert sorted(os.listdir(models)) == [".lock", "big"]


# Files of tools


def test_a_tools_file_that_is_no_file_is_said_and_left_alone(home, tmp_path):
    home.environment = {"HOME": str(tmp_path)}
    with running_gateway(home):
        os.mkdir(tmp_path / ".codex")
        odd = tmp_path / ".codex/config.toml"
        os.mkfifo(odd)
        answer = home.run("gateway", "env", "codex", "--write", "--json")
        assert answer.result["code"] == "config"
        assert stat.S_ISFIFO(os.stat(odd).st_mode)
        odd.unlink()
        odd.write_text("model = [")
        assert home.run("gateway", "env", "codex", "--write").code == 2
        assert odd.read_text() == "model = ["
        odd.unlink()
        odd.symlink_to(tmp_path / "dotfiles/codex.toml")
        first = home.ask("gateway", "env", "codex", "--write")
        again = home.ask("gateway", "env", "codex", "--write")
        assert odd.is_symlink()
        assert [one["backup"] for one in first["files"] + again["files"]] == ["", ""]


def test_settings_without_an_address_are_not_written(home, tmp_path):
    home.environment = {"HOME": str(tmp_path)}
    configure(home, '[listen]\naddress = "127.0.0.1:0"\n')
    with running_gateway(home):
        pass
    answer = home.run("gateway", "env", "codex", "--write", "--json")
    assert (answer.code, answer.result["code"]) == (2, "config")
    assert "serve" in answer.result["hint"]
    assert not (tmp_path / ".codex").exists()


# Keys


def test_a_stored_key_shows_nowhere(home):
    with provider(lambda _: Turn(fault=Fault(kind=FaultKind.STATUS, status=401))) as upstream:
        added = subprocess.run(
            [
                *home.command(
                    "gateway",
                    "providers",
                    "add",
                    "one",
                    "--base-url",
                    upstream.base_url,
                    "--key-stdin",
                    "--local",
                ),
                "--json",
                "--debug",
            ],
            env=home.surroundings,
            input=f"{KEY}\n".encode(),
            capture_output=True,
            check=False,
        )
        assert added.returncode == 3, added  # added, and its key refused
        said = added.stdout + added.stderr
        with running_gateway(home) as gateway:
            reply = gateway.post("/v1/chat/completions", {**CHAT, "model": "one/m"}, key=gateway.local_key)
            assert upstream.requests[-1].headers["authorization"] == f"Bearer {KEY}"
            said += reply.body + repr(reply.headers).encode()
            for name in ("cmdline", "environ"):
                said += Path(f"/proc/{gateway.process.process.pid}/{name}").read_bytes()
            wait_until(lambda: home.ask("gateway", "exchanges", "search")["exchanges"])
            commands = [
                "status",
                "providers list",
                "providers test",
                "keys list",
                "models list",
                "routes list",
            ]
            commands += [
                "routes explain",
                "usage",
                "exchanges search",
                "providers add one --base-url http://x/v1",
            ]
            for command in commands:
                answer = home.run("gateway", *command.split(), "--json", "--debug")
                said += answer.out.encode() + answer.err.encode()
            local = gateway.local_key
        said += json.dumps(gateway.process.lines).encode()
    assert KEY.encode() not in said
    assert local.encode() not in said
    for folder, _, names in os.walk(home.path):
        for name in names:
            assert KEY.encode() not in Path(folder, name).read_bytes(), name


# Another user


@pytest.mark.needs("root", "setpriv", "an interpreter that others may run")
def test_another_user_is_told_what_is_refused():
    place = Path(tempfile.mkdtemp())  # unlike tmp_path, where others may look
    other_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    try:
        os.chmod(place, 0o711)
        home = Home(str(place / "home"), {"HOME": str(place)})
        with running_gateway(home):
            os.chmod(home.path, 0o700)
            for command in (
                "serve --port 0",
                "providers list",
                "routes list",
                "env codex --write",
                "usage",
                "exchanges search",
                "models pull smollm2",
            ):
                done = subprocess.run(
                    [*other_user, *home.command("gateway", *command.split(), "--json")],
                    env=home.surroundings,
                    capture_output=True,
                    timeout=60,
                    check=False,
                )
                result = json.loads(done.stdout.splitlines()[-1])
                assert not result["ok"], command
                assert "Permission denied" in result["message"], (command, result)
                assert "Errno" not in result["message"] and result["hint"]
    finally:
        shutil.rmtree(place)
