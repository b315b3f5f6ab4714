"""The real coding tools through the whole of ``lastro run``: what they changed, whatever they say, is what is proposed, tied to the call
that changed it, and what comes of an approval; sent back they go on with their own conversation; budgets, time-outs and providers that
fail end them, and their work is kept. No key is to be found anywhere.

Gemini CLI and Codex run in ``make test``, Claude Code and opencode in ``make test-clis``, OpenClaw and aider in ``make soak``.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.coding_tools import installed, scratch_home
from tests.coding_tools.scripts import (
    AFTER,
    CHANGED,
    DELETED,
    DONE,
    EDITED,
    LOCKED,
    NATIVE,
    NATIVE_CONTENT,
    PROJECT,
    SCRIPTS,
    Script,
    Work,
    results,
)
from tests.integration.commands import Answer, Home
from tests.integration.gateway import configure, running_gateway
from tests.integration.providers import provider
from tests.offline_model import MODEL, kept_models
from tests.upstreams import Call, Fault, FaultKind, Says, Turn

pytestmark = [
    pytest.mark.system,
    pytest.mark.slow,
    pytest.mark.needs("root", "bubblewrap", "overlays"),  # root: to look at the environment of what runs
]

PROMPT = "Do the work."
AGAIN = "And once more, please."
PROVIDERS_KEY = "sk-scripted-0123456789abcdef-of-the-provider"
PASSPHRASE = b"four words for tests\n"
TOKENS_OF_A_CALL = 11 + 7
MICROS_OF_A_CALL = 11 * 1 + 7 * 2
"""At 1 and 2 US dollars for a million tokens."""
READ_BY_A_CALL, MAY_READ = 100_000, 450_000
"""Tokens. Before a call the gateway counts with what it may take at most, which is a lot less."""
BEGINS_ANEW = {"openclaw"}
"""Tools that keep no conversation that one could go on with."""
_RUNS_KEY = re.compile(rb"lastro-[A-Za-z0-9_-]{20,}")
ENDLESS = f"sleep 4321.{os.getpid()}"
_PATIENCE_S = 280


@dataclass
class Bench:
    """A tool, a project, and a provider that tells the tool what to do."""

    script: object
    place: str
    home: Home
    work: Work
    trap: socket.socket
    upstream: object = None
    keys: set[bytes] = field(default_factory=set)
    """What looked like a gateway key in the environment of what ran in a jail."""
    seen_inside: bytes = b""
    """All environments and command lines of what ran in a jail."""

    @property
    def project(self):
        return self.work.project

    def run(self, *options, prompt=PROMPT, code=0):
        answer = self.ask("run", *options, "--project", self.project, "--", *self.script.argv(prompt))
        assert answer.code == code, (answer.out.splitlines()[-1:], answer.err)
        return answer.reply

    def ask(self, command, *arguments, passphrase=b""):
        done = subprocess.run(
            self.home.command(command, "--json", *arguments),
            env=self.home.surroundings,
            input=passphrase,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(), done.stderr.decode("utf-8", "replace"))

    def typed(self, *arguments):
        answer = self.ask(*arguments, "--passphrase-stdin", passphrase=PASSPHRASE)
        assert answer.code == 0, answer
        return answer.reply

    def shown(self, number):
        return self.home.ask("proposal", "show", f"proposal-{number}")

    def live(self):
        found = {}
        for name in os.listdir(self.project):
            with open(f"{self.project}/{name}", encoding="utf-8") as file:
                found[name] = file.read()
        return found

    def look_inside(self):
        """Note what the agent's processes know: it waits for an answer meanwhile."""
        own = os.readlink("/proc/self/ns/pid")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/ns/pid") == own:
                    continue
                for name in ("environ", "cmdline"):
                    with open(f"/proc/{pid}/{name}", "rb") as file:
                        content = file.read()
                    self.seen_inside += content
                    if name == "environ" and b"HOME=/home/agent" in content:
                        self.keys |= set(_RUNS_KEY.findall(content))
            except OSError:
                continue


@contextmanager
def bench(name, answers=None, *, limits="", script=None):
    """``answers`` makes those of the provider from the bench; for the whole work if it is not given."""
    with scratch_home() as place, socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0)
        tool = installed(name)
        search = f"{os.path.dirname(tool.program)}:{tool.node}:{os.defpath}"
        environment = {"HOME": f"{place}/user", "PATH": search, "SCRIPTED_KEY": PROVIDERS_KEY}
        home = Home(f"{place}/lastro", environment)
        work = Work(
            project=f"{place}/project", outside=f"/etc/lastro-{os.getpid()}", port=trap.getsockname()[1]
        )
        for made in (work.project, f"{place}/user"):
            os.makedirs(made)
        for file, content in PROJECT.items():
            with open(f"{work.project}/{file}", "w", encoding="utf-8") as opened:
                opened.write(content)
        home.ask("init")
        made = Bench(script or SCRIPTS[name], place, home, work, trap)
        with provider((answers or whole_work)(made)) as upstream:
            made.upstream = upstream
            write_configuration(made, limits)
            with running_gateway(home):
                yield made


def write_configuration(made, limits):
    configure(
        made.home,
        f'[providers.scripted]\nkind = "compatible"\nbase_url = "{made.upstream.base_url}"\n'
        f'dialects = ["{made.script.dialect}"]\nkey = {{environment = "SCRIPTED_KEY"}}\n'
        '[providers.scripted.models."m"]\ntools = "yes"\n[routes.default]\nmodels = ["scripted/m"]\n',
    )
    config = f"{made.home.path}/config"
    with open(f"{config}/prices.toml", "w", encoding="ascii") as file:
        file.write('[[models]]\nprovider = "scripted"\nmodel = "*"\ninput = "1"\noutput = "2"\n')
    with open(f"{config}/policy.toml", "w", encoding="ascii") as file:
        file.write(
            f'[roles.client-agent]\ndeny_write = ["/{LOCKED}"]\n[roles.client-agent.limits]\n{limits}\n'
        )


def whole_work(made):
    """Everything a tool is told to do; and once it was sent back, one thing more, if the past of the project can be asked by ``lastro``."""
    more = f"lastro cat ./{EDITED} | grep -qx one && echo three >> {EDITED}"
    return telling(made, made.script.calls(made.work), then=[made.script.shell(more)])


def telling(made, calls, then=(), *, turn=None, read=11):
    """A provider that tells the tool one call after the other. ``turn``: what it answers instead, by the number of results it was given.
    ``read``: how many tokens it says that it read.
    """

    def answer(received):
        made.look_inside()
        text = received.body.decode()
        body = json.loads(text)
        if not body.get("tools"):
            return Turn(says=Says(text="A title", input_tokens=read))
        todo = [*calls, *then] if AGAIN in text else calls
        if AGAIN in text and made.script.name in BEGINS_ANEW:
            todo = then
        done = results(received.dialect, body)
        if turn is not None and (instead := turn(done)) is not None:
            return instead
        if done >= len(todo):
            return Turn(says=Says(text=DONE, input_tokens=read))
        name, arguments = todo[done]
        call = Call(id=f"call_{done}", name=name, arguments=json.dumps(arguments))
        return Turn(says=Says(text=f"Step {done + 1}.", calls=(call,), input_tokens=read))

    return answer


EXPECTED = {
    DELETED: ("removed", ("-to be deleted",)),
    EDITED: ("changed", (" one", "+two")),
    NATIVE: ("added", (f"+{NATIVE_CONTENT.rstrip()}",)),
}


def lines_of(file):
    return tuple(line for hunk in file["hunks"] for line in hunk["lines"])


def check_work(made):
    """From what is typed to what comes of an approval."""
    reply = made.run()
    assert (reply["state"], reply["exit_status"]) == ("finished", 0), reply
    found = made.shown(reply["proposal"])
    assert {file["path"]: (file["kind"], lines_of(file)) for file in found["files"]} == EXPECTED
    assert tuple(file["path"] for file in found["files"]) == CHANGED
    assert found["last_words"] == DONE
    assert made.live() == PROJECT
    assert not os.path.exists(made.work.outside)
    with pytest.raises(BlockingIOError):
        made.trap.accept()
    check_steps(made, found)
    check_usage(made, reply, found)
    check_sent_back(made)
    check_keys(made)
    made.typed("approver", "add", "ana")
    applied = made.typed("proposal", "approve", "proposal-2", "--yes")
    assert applied["state"] == "applied", applied
    assert made.live() == AFTER | {EDITED: "one\ntwo\nthree\n"}
    assert made.home.run("audit", "verify").code == 0


def check_steps(made, found):
    """Each path was changed in the step that began with the request whose answer asked for that."""
    begun_by = {}
    for step in found["steps"]:
        if step["exchange"]:
            body = json.loads(made.home.ask("gateway", "exchanges", "show", step["exchange"])["request"])
            if body.get("tools"):
                begun_by[step["number"]] = results(made.script.dialect, body)
    changed = {file["path"]: [begun_by.get(number) for number in file["steps"]] for file in found["files"]}
    assert changed == {NATIVE: [0], EDITED: [1], DELETED: [1]}, found["steps"]


def check_usage(made, reply, found):
    exchanges = made.home.ask("gateway", "exchanges", "search", "--limit", "100")["exchanges"]
    assert len(exchanges) == len(made.upstream.requests) >= len(made.script.calls(made.work)) + 1
    assert {one["run"] for one in exchanges} == {"run-1"}
    assert (reply["tokens"], reply["money"]) == (
        TOKENS_OF_A_CALL * len(exchanges),
        MICROS_OF_A_CALL * len(exchanges),
    )
    assert reply["steps"] == len(found["steps"]) >= len(made.script.calls(made.work)) + 1
    used = found["usage"]
    assert (used["requests"], used["tokens_in"], used["tokens_out"], used["money"]) == (
        len(exchanges),
        11 * len(exchanges),
        7 * len(exchanges),
        MICROS_OF_A_CALL * len(exchanges),
    )


def check_sent_back(made):
    """The tool goes on with what it knows, from the work that it did, and proposes anew."""
    before = len(made.upstream.requests)
    answer = made.ask("proposal", "comment", "proposal-1", "-m", AGAIN)
    assert answer.code == 0, answer
    assert (answer.reply["run"], answer.reply["new_proposal"]) == (2, 2), answer
    asked = [json.loads(received.body) for received in made.upstream.requests[before:]]
    first = next(body for body in asked if body.get("tools") and AGAIN in json.dumps(body))
    assert PROMPT in json.dumps(first)
    if made.script.name not in BEGINS_ANEW:
        assert results(made.script.dialect, first) == len(made.script.calls(made.work))
    found = made.shown(2)
    expected = EXPECTED | {EDITED: ("changed", (" one", "+two", "+three"))}
    assert {file["path"]: (file["kind"], lines_of(file)) for file in found["files"]} == expected
    assert made.live() == PROJECT


def check_keys(made):
    """The run's keys end with their runs, and are nowhere; the provider's is known to the gateway alone."""
    assert made.keys, "the keys of the runs were not seen"
    keys = [key for key in made.home.ask("gateway", "keys", "list")["keys"] if key["run"]]
    assert [key["state"] for key in keys] == ["revoked", "revoked"]
    assert PROVIDERS_KEY.encode() not in made.seen_inside
    said = "".join(
        made.home.run(*words, "--json").out
        for words in (
            ("proposal", "show", "proposal-1"),
            ("proposal", "show", "proposal-2"),
            ("runs", "show", "run-1"),
            ("runs", "show", "run-2"),
            ("gateway", "keys", "list"),
        )
    ).encode()
    kept = [said]
    for folder, _, names in os.walk(made.place):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    kept.append(file.read())
    for secret in (*made.keys, PROVIDERS_KEY.encode()):
        assert not any(secret in content for content in kept)
        assert not any(secret in received.body for received in made.upstream.requests)
    assert all(PROVIDERS_KEY.encode() in received.raw for received in made.upstream.requests)


def cut_off(made):
    """It writes a file, and then more than it may spend."""
    calls = made.script.calls(made.work)[:1]
    return telling(made, [*calls, *[made.script.shell("true")] * 50], read=READ_BY_A_CALL)


def check_budget(name):
    """The first calls are let through, the one that would be too much is not; nothing that the tool tries then helps it."""
    with bench(name, cut_off, limits=f"tokens = {MAY_READ}") as made:
        reply = made.run()
        assert (reply["state"], reply["cause"]) == ("failed", "budget"), reply
        assert [file["path"] for file in made.shown(reply["proposal"])["files"]] == [NATIVE]
        assert 2 <= len(made.upstream.requests) <= MAY_READ // READ_BY_A_CALL + 1
        assert reply["tokens"] == (READ_BY_A_CALL + 7) * len(made.upstream.requests)
        assert made.shown(reply["proposal"])["usage"]["tokens_in"] == READ_BY_A_CALL * len(
            made.upstream.requests
        )


def hung_provider(made):
    """Answers once, and then keeps whoever asks waiting."""
    stalls = Turn(fault=Fault(kind=FaultKind.STALL_FIRST))
    return telling(made, made.script.calls(made.work), turn=lambda done: stalls if done else None)


def broken_provider(made):
    """Answers once, and then with errors."""
    fails = Turn(fault=Fault(kind=FaultKind.STATUS, status=500))
    return telling(made, made.script.calls(made.work), turn=lambda done: fails if done else None)


def cut_provider(made):
    """Answers once, and then hangs up."""
    cuts = Turn(fault=Fault(kind=FaultKind.CUT_BEFORE_HEADERS))
    return telling(made, made.script.calls(made.work), turn=lambda done: cuts if done else None)


def check_failing_provider(name, script):
    """Whatever the tool makes of it, it ends, and what it did until then is proposed."""
    with bench(name, script) as made:
        reply = made.run("--wall", "15s")
        assert reply["state"] in {"finished", "timed_out"}, reply
        if script is hung_provider:
            assert (reply["state"], reply["cause"]) == ("timed_out", "wall")
        found = made.shown(reply["proposal"])
        assert [(file["path"], lines_of(file)) for file in found["files"]] == [(NATIVE, EXPECTED[NATIVE][1])]
        assert made.live() == PROJECT
        assert [key["state"] for key in made.home.ask("gateway", "keys", "list")["keys"] if key["run"]] == [
            "revoked"
        ]


def idle(made):
    """It says that it is done, and did nothing."""
    return telling(made, [])


def check_idle(name):
    with bench(name, idle) as made:
        reply = made.run()
        assert (reply["state"], reply["proposal"], reply["exit_status"]) == ("empty", 0, 0), reply
        assert made.home.ask("proposal", "list")["proposals"] == []
        detail = made.home.ask("runs", "show", "run-1")
        assert detail["facts"]["last_words"] == DONE
        assert detail["facts"]["session"]


def hanging(made):
    """What it starts never ends, and would go on without it."""
    return telling(made, [made.script.shell(f"echo half > {NATIVE}; (setsid {ENDLESS} &); {ENDLESS}")])


def check_hanging(name):
    with bench(name, hanging) as made:
        # Codex lets go of a command after 10 s and asks the model what to do about it.
        reply = made.run("--wall", "8s" if name == "codex" else "15s")
        assert (reply["state"], reply["cause"]) == ("timed_out", "wall"), reply
        found = made.shown(reply["proposal"])
        assert [(file["path"], lines_of(file)) for file in found["files"]] == [(NATIVE, ("+half",))]
        left = subprocess.run(["pgrep", "-fx", ENDLESS], capture_output=True, check=False)
        assert left.stdout == b""


FAILING = [hung_provider, broken_provider, cut_provider]


def clis(*values):
    return pytest.param(*values, marks=pytest.mark.clis)


ALL = ["codex", "gemini", clis("claude"), clis("opencode")]


@pytest.mark.parametrize("name", ALL)
def test_a_budget_ends_the_tool(name):
    check_budget(name)


@pytest.mark.parametrize(
    ("name", "script"),
    [
        ("codex", hung_provider),
        *(clis("codex", script) for script in FAILING[1:]),
        *(clis(name, script) for name in ("gemini", "claude", "opencode") for script in FAILING),
    ],
)
def test_a_provider_that_fails(name, script):
    check_failing_provider(name, script)


@pytest.mark.parametrize("name", ALL)
def test_a_tool_that_did_nothing_and_says_it_is_done(name):
    check_idle(name)


@pytest.mark.parametrize("name", [clis("codex"), "gemini", clis("claude"), clis("opencode")])
def test_a_tool_that_hangs(name):
    check_hanging(name)


def test_codex():
    with bench("codex") as made:
        check_work(made)


def test_gemini():
    with bench("gemini") as made:
        check_work(made)


@pytest.mark.clis
def test_claude():
    with bench("claude") as made:
        check_work(made)


@pytest.mark.clis
def test_opencode():
    with bench("opencode") as made:
        check_work(made)


@pytest.mark.soak
def test_openclaw():
    with bench("openclaw") as made:
        check_work(made)


@pytest.mark.soak
def test_aider():
    """It edits by blocks in its text, has no shell that nobody types into, and begins a new conversation each time."""
    script = Script(
        name="aider",
        dialect="chat",
        command=("aider", "--message", "{prompt}", EDITED),
        native=None,
        shell=None,
    )

    def blocks(made):
        def answer(received):
            made.look_inside()
            text = received.body.decode()
            files = {EDITED: "one\ntwo\n" + "three\n" * (AGAIN in text), NATIVE: NATIVE_CONTENT}
            return Turn(says=Says(text="\n".join(f"{name}\n```\n{new}```\n" for name, new in files.items())))

        return answer

    expected = {name: EXPECTED[name] for name in (EDITED, NATIVE)}
    with bench("aider", blocks, script=script) as made:
        reply = made.run()
        assert (reply["state"], reply["exit_status"]) == ("finished", 0), reply
        found = made.shown(reply["proposal"])
        assert {file["path"]: (file["kind"], lines_of(file)) for file in found["files"]} == expected
        asking = next(step["number"] for step in found["steps"] if step["exchange"])
        assert {tuple(file["steps"]) for file in found["files"]} == {(asking,)}, found["steps"]
        assert found["usage"]["requests"] == len(made.upstream.requests) >= 1
        answer = made.ask("proposal", "comment", "proposal-1", "-m", AGAIN)
        assert answer.code == 0, answer
        asked = made.upstream.requests[-1].body.decode()
        assert PROMPT in asked
        assert AGAIN in asked
        changed = {file["path"]: (file["kind"], lines_of(file)) for file in made.shown(2)["files"]}
        assert changed == expected | {EDITED: ("changed", (" one", "+two", "+three"))}
        check_keys(made)
        made.typed("approver", "add", "ana")
        made.typed("proposal", "approve", "proposal-2", "--yes")
        assert made.live() == PROJECT | {EDITED: "one\ntwo\nthree\n", NATIVE: NATIVE_CONTENT}


@pytest.mark.clis
@pytest.mark.needs("offline-model")
def test_the_built_in_agent_with_the_smallest_real_model(tmp_path):
    """It proves the way and no more: what such a model makes of it nobody knows, but what is proposed is what it changed."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "calc.py").write_text("def add(a, b):\n    return a + b\n")
    home = Home(str(tmp_path / "lastro"), {"HOME": str(tmp_path)})
    home.ask("init")
    home.ask("gateway", "models", "import", kept_models().weights(MODEL), "--name", MODEL)
    reply = home.ask("run", "--project", str(project), "--agent", "offline", "rename the function")
    assert reply["state"] in {"finished", "empty"}, reply
    assert reply["tokens"] > 0
    last = home.ask("runs", "show", "run-1")["facts"]["last_words"]
    assert ("Nothing was changed" in last) == (reply["state"] == "empty")
    assert bool(reply["proposal"]) == (reply["state"] == "finished")
    assert os.listdir(project) == ["calc.py"]
