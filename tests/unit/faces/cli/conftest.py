"""A command line in this process, and a context to render with."""

from __future__ import annotations

import json
from datetime import UTC
from types import SimpleNamespace

import pytest

from lastro.faces.cli.context import Context
from lastro.faces.cli.main import run
from lastro.faces.cli.settings import Settings
from lastro.faces.cli.terminal import Terminal
from lastro.faces.translation import use_language

NOW_NS = 1_795_000_000_000_000_000
"""2026-11-18 09:06:40 UTC."""


@pytest.fixture(autouse=True)
def english(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "en")
    yield
    use_language("en")


@pytest.fixture
def streams(capsysbinary):
    """What was written since it was last asked: ``(output, errors)``."""

    def read():
        captured = capsysbinary.readouterr()
        return captured.out.decode("utf-8", "surrogateescape"), captured.err.decode()

    return read


@pytest.fixture
def lastro(streams, tmp_path):
    """Runs a command line; gives its exit code, output, errors and the JSON lines of the output."""

    def call(*arguments, **environment):
        streams()
        surroundings = {
            "LASTRO_HOME": str(tmp_path / "home"),
            "HOME": str(tmp_path),
            "TZ": "UTC",
            **environment,
        }
        code = run(arguments, surroundings)
        out, err = streams()
        lines = [json.loads(line) for line in out.splitlines()] if "--json" in arguments else []
        return SimpleNamespace(code=code, out=out, err=err, lines=lines, result=lines[-1] if lines else None)

    return call


@pytest.fixture
def context(streams):
    """What renderers need. The clock stands still."""
    settings = Settings()
    clock = SimpleNamespace(wall_ns=lambda: NOW_NS, monotonic_ns=lambda: 0)
    made = Context(
        settings=settings,
        terminal=Terminal(settings, {}),
        environment={"TZ": "UTC"},
        clock=clock,
        utc_offset_s=0,
    )
    made.zone = UTC
    made.streams = streams
    return made
