"""The offline agent works, and stops honestly, with any model. Its models are scripted providers on real sockets."""

import json
import os
import subprocess
import sys

import pytest

from lastro.agents.offline.asking import Asker
from lastro.agents.offline.files import Files
from lastro.agents.offline.loop import work
from tests.integration.providers import provider
from tests.upstreams import Call, Fault, FaultKind, Says, Turn


def call(name, **arguments):
    return Says(calls=(Call(id="c1", name=name, arguments=json.dumps(arguments)),))


def ask(tmp_path, script, *, turns=40, task="Do it."):
    """Why it stopped, what it told, and what the provider was asked."""
    project = tmp_path / "project"
    project.mkdir(exist_ok=True)
    events = []
    with provider(script) as upstream:
        files = Files(str(project))
        asker = Asker(url=upstream.base_url, key="lk-1", model="auto", pause=lambda _: None)
        reason = work(task, files=files, asker=asker, emit=events.append, turns=turns)
        files.close()
        asked = [json.loads(received.body) for received in upstream.requests]
    assert events[-1]["type"] == "done"
    assert events[-1]["reason"] == reason
    return reason, events, asked, project


def turns(*said):
    return [Turn(says=one if isinstance(one, Says) else Says(text=one)) for one in said]


def test_it_reads_edits_runs_and_says_so(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project/a.py").write_text("x = 1\n")
    script = turns(
        call("read", path="a.py"),
        call("edit", path="a.py", old="1", new="2"),
        call("run", command="cat a.py"),
        "It is 2 now.",
    )
    reason, events, asked, project = ask(tmp_path, script)
    assert reason == "finished"
    assert (project / "a.py").read_text() == "x = 2\n"
    results = [event["text"] for event in events if event["type"] == "tool_result"]
    assert results == ["x = 1\n", "edited", "x = 2\n\n[exit status 0]"]
    assert events[-1]["changed"] == ["a.py"]
    assert events[-1]["text"] == "Files written: 1."
    assert [one["role"] for one in asked[-1]["messages"]] == ["system", "user", *["assistant", "tool"] * 3]


def test_a_model_that_only_writes_text_is_understood(tmp_path):
    script = turns(
        '```json\n{"name": "write", "arguments": {"path": "n.txt", "content": "hi"}}\n```', "Done."
    )
    reason, events, asked, project = ask(tmp_path, script)
    assert reason == "finished"
    assert (project / "n.txt").read_text() == "hi"
    assert asked[-1]["messages"][-1] == {"role": "user", "content": "Result of write:\nwritten"}
    assert [event["text"] for event in events if event["type"] == "text"] == ["Done."]


def test_a_model_that_talks_and_does_nothing_is_not_believed(tmp_path):
    reason, events, _, _ = ask(tmp_path, turns("I have fixed everything!"))
    assert reason == "finished"
    assert events[-1]["changed"] == []
    assert events[-1]["text"] == "Nothing was changed."


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "nonsense"),
        (call("dance"), "nonsense"),
        (call("read"), "nonsense"),
        (Says(calls=(Call(id="c", name="write", arguments="{broken"),)), "nonsense"),
        (call("read", path="missing"), "repeats"),
        (call("read", path="../../etc/passwd"), "repeats"),
        (call("list"), "repeats"),
    ],
)
def test_a_model_that_makes_no_sense_is_stopped(tmp_path, said, reason):
    assert ask(tmp_path, turns(said))[0] == reason


def test_the_same_command_again_is_no_repetition_when_its_result_is_another(tmp_path):
    script = turns(*[call("run", command="echo >> n; wc -l < n")] * 6, "Done.")
    assert ask(tmp_path, script)[0] == "finished"


def test_turns_are_counted(tmp_path):
    reason, events, asked, _ = ask(tmp_path, turns(call("run", command="echo >> n; wc -l < n")), turns=5)
    assert (reason, len(asked)) == ("turns", 5)
    assert "all its turns" in events[-1]["text"]


def refusing(received) -> Turn:
    if json.loads(received.body).get("tools"):
        return Turn(fault=Fault(kind=FaultKind.STATUS, status=400))
    return Turn(says=Says(text="I cannot do much."))


def test_a_model_without_tools_is_told_of_them_in_words(tmp_path):
    reason, _, asked, _ = ask(tmp_path, refusing)
    assert reason == "finished"
    assert "tools" not in asked[1]
    assert '"name": "write"' in asked[1]["messages"][0]["content"]


def test_a_model_whose_tools_were_dropped_on_the_way_is_told_of_them_in_words(tmp_path):
    """The tokens that it read are fewer than the tools have."""
    script = turns(
        "What shall I do?", '{"name": "write", "arguments": {"path": "n", "content": "x"}}', "Done."
    )
    reason, _, asked, project = ask(tmp_path, script)
    assert reason == "finished"
    assert ["tools" in body for body in asked] == [True, False, False]
    assert (project / "n").read_text() == "x"
    whole = [Turn(says=Says(text="It is a program.", input_tokens=900))]
    assert len(ask(tmp_path, whole)[2]) == 1


def test_a_conversation_that_is_too_long_is_shortened(tmp_path):
    (tmp_path / "project").mkdir()
    (tmp_path / "project/long").write_text("word " * 4000)

    def small(received) -> Turn:
        body = json.loads(received.body)
        if body.get("tools") or len(received.body) > 9_000:
            return Turn(fault=Fault(kind=FaultKind.STATUS, status=400))
        if len(body["messages"]) > 2:
            return Turn(says=Says(text="Read."))
        return Turn(says=Says(text='{"name": "read", "arguments": {"path": "long"}}'))

    reason, _, _, _ = ask(tmp_path, small)
    assert reason == "finished"


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500])
def test_a_refusal_ends_it(tmp_path, status):
    script = [Turn(fault=Fault(kind=FaultKind.STATUS, status=status))]
    reason, events, asked, _ = ask(tmp_path, script)
    assert reason == "model"
    assert str(status) in next(event["text"] for event in events if event["type"] == "error")
    assert len(asked) == 1


def test_a_gateway_that_comes_back_is_asked_again(tmp_path):
    script = [
        Turn(fault=Fault(kind=FaultKind.STATUS, status=503)),
        Turn(says=Says(text="Here.", input_tokens=900)),
    ]
    reason, _, asked, _ = ask(tmp_path, script)
    assert (reason, len(asked)) == ("finished", 2)


def test_broken_answers_end_it(tmp_path):
    for kind in (FaultKind.MALFORMED, FaultKind.CUT_AFTER_HEADERS, FaultKind.WEB_PAGE):
        assert ask(tmp_path, [Turn(fault=Fault(kind=kind))])[0] == "model"


def test_as_a_process(tmp_path):
    (tmp_path / "project").mkdir()
    with provider(turns(call("write", path="n", content="hi"), "Done.")) as upstream:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "lastro.agents.offline", "--", "Do it."],
            env={
                "LASTRO_GATEWAY_URL": upstream.base_url,
                "LASTRO_GATEWAY_KEY": "lk-1",
                "LASTRO_PROJECT": str(tmp_path / "project"),
            },
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert upstream.requests[0].headers["authorization"] == "Bearer lk-1"
    assert (done.returncode, done.stderr) == (0, b"")
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()][-1] == "done"
    assert os.listdir(tmp_path / "project") == ["n"]
    assert b"lk-1" not in done.stdout


def test_it_imports_little():
    script = "import sys, lastro.agents.offline.__main__; print(len([m for m in sys.modules if m.startswith('lastro')]))"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, check=True, timeout=60)
    assert int(done.stdout) < 20
