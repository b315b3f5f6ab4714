"""A flipped bit in the repository is seen where a person looks: status, check, and nothing wrong is ever given back."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.integration.commands import Home

pytestmark = pytest.mark.system


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x10]))


def test_a_flipped_bit_is_named_and_never_given_back(tmp_path):
    home = Home(os.path.realpath(tmp_path / "home"))
    root = os.path.realpath(tmp_path / "root")
    os.mkdir(root)
    home.ask("init")
    for number in range(3):
        with open(f"{root}/file", "w", encoding="utf-8") as file:
            file.write(f"content {number}\n" * 1000)
        home.ask("capture", root)
    assert home.ask("repo", "check", "--read-data")["sound"]

    journal = os.path.join(home.path, "data", "repository", "journal")
    segment = os.path.join(journal, sorted(os.listdir(journal))[1])
    flip(segment, os.path.getsize(segment) // 2)
    check = home.run("repo", "check", "--read-data", "--json")
    assert check.code == 6
    named = {finding["object"] for finding in check.reply["findings"]}
    assert f"journal/{os.path.basename(segment)}" in named
    shutil.rmtree(os.path.join(home.path, "state", "cache"))  # what was read before is remembered there
    status = home.run("status", "--json")
    assert status.code == 0
    assert f"journal/{os.path.basename(segment)}" in status.reply["damaged"]
    lost = home.run("cat", f"{root}/file@snap-1")
    assert (lost.code, lost.out) == (1, "")
    for number in (2, 3):
        assert home.run("cat", f"{root}/file@snap-{number}").out == f"content {number - 1}\n" * 1000
    with open(f"{root}/file", "w", encoding="utf-8") as file:
        file.write("after the damage\n")
    assert home.ask("capture", root)["snapshots"][0]["snapshot"] == 4, "what is lost shifts no name"


def test_a_lost_log_is_never_taken_for_an_empty_one(tmp_path):
    home = Home(os.path.realpath(tmp_path / "home"))
    root = os.path.realpath(tmp_path / "root")
    os.mkdir(root)
    home.ask("init")
    home.ask("capture", root)
    journal = os.path.join(home.path, "data", "repository", "journal")
    for name in os.listdir(journal):
        flip(os.path.join(journal, name), os.path.getsize(os.path.join(journal, name)) // 2)
    shutil.rmtree(os.path.join(home.path, "state"))
    before = {name: os.path.getsize(os.path.join(journal, name)) for name in os.listdir(journal)}
    for command in (("log",), ("capture", root), ("status",)):
        answer = home.run(*command, "--json")
        assert (answer.code, answer.result["code"]) == (6, "damaged"), command
    kept = {name: os.path.getsize(os.path.join(journal, name)) for name in before}
    assert kept == before


def test_the_recovery_key_stands_in_for_a_lost_key_file(tmp_path):
    home = Home(os.path.realpath(tmp_path / "home"))
    made = home.ask("init")
    with open(made["recovery_kit"], encoding="utf-8") as file:
        key = next(line.strip() for line in file if line.startswith("    "))
    os.unlink(made["key_file"])
    assert home.run("log").code == 12
    home.environment["LASTRO_RECOVERY_KEY"] = key.lower().replace("-", " ")
    assert home.run("log").code == 0
    home.environment["LASTRO_RECOVERY_KEY"] = key[:-1] + ("0" if key[-1] != "0" else "1")
    assert home.run("log").code == 12
