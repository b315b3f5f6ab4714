"""What Click says is in our catalogues: a Click that says it differently makes this fail, and its sentence is marked anew."""

from __future__ import annotations

import os
from pathlib import Path

import click

from lastro.faces.cli import click_messages


def test_click_speaks_the_language(lastro, monkeypatch):
    monkeypatch.setenv("LANGUAGE", os.environ.get("LANGUAGE", ""))
    for arguments in (
        ("log", "--bogus"),
        ("find",),
        ("log", "-n", "x"),
        ("log", "-n"),
        ("log", "--plan=1"),
        ("init", "--json=1", "x"),
        ("completion", "tcsh"),
        ("log", "a", "b"),
    ):
        english = lastro(*arguments).err.splitlines()[0]
        translated = lastro(*arguments, "--lang", "pt_BR").err.splitlines()[0]
        assert english.partition(" ")[2] != translated.partition(" ")[2], english
    assert lastro("log", "--help", "--lang", "pt_BR").out.startswith("Uso: lastro log")


def test_the_sentences_are_click_s_own():
    sources = "".join(path.read_text("utf-8") for path in Path(click.__file__).parent.glob("*.py"))
    for sentence in click_messages.MESSAGES[:10]:
        assert f'"{sentence}"' in sources, sentence
