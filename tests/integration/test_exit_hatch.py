"""``RESTORE.py``, as it lies in a repository, brings everything back with the recovery key: without Lastro, without what Lastro needs."""

from __future__ import annotations

import ast
import importlib.util
import os
import random
import re
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec import structs

from lastro.domain.entry import Entry, EntryType
from lastro.domain.paths import from_bytes
from lastro.store.backends.local import LocalBackend
from lastro.store.tree import to_tree_entry, update
from tests.hard_files import NAMES, nested, place, unix_socket, write
from tests.integration.commands import Answer, Home
from tests.store_kit import Kit, noise, snapshot_draft

pytestmark = pytest.mark.system

MIB = 1 << 20
SOURCE = str(Path(__file__).parents[2] / "src/lastro/store/exit_hatch/RESTORE.py")


@dataclass
class Captured:
    """A repository, its secrets, and what the snapshots in it are of."""

    repository: str
    key: str
    key_file: str
    root: str
    states: dict[int, dict[bytes, object]]


@pytest.fixture(scope="module")
def bench():
    """A scratch place with all that ``RESTORE.py`` may import: with ``blake3``, and without."""
    with place() as scratch:
        for folder, packages in {
            "plain": ["cryptography", "cffi", "pycparser", "backports"],
            "full": ["blake3"],
        }.items():
            os.mkdir(f"{scratch}/{folder}")
            for package in packages:
                spec = importlib.util.find_spec(package)
                if spec is not None and spec.submodule_search_locations:
                    os.symlink(next(iter(spec.submodule_search_locations)), f"{scratch}/{folder}/{package}")
        backend = importlib.util.find_spec("_cffi_backend").origin
        os.symlink(backend, f"{scratch}/plain/{os.path.basename(backend)}")
        yield scratch


def make_hard_tree(root):
    for name in NAMES:
        write(os.path.join(root, from_bytes(name)), b"content of " + name)
    write(f"{root}/empty")
    os.mkdir(f"{root}/empty directory", 0o700)
    os.mkdir(f"{root}/many")
    for number in range(500):
        write(f"{root}/many/{number:03}", b"%d" % number)
    nested(root, [b"n" * 200] * 30, file=b"end")  # 6 KB of path
    for name, target in {"loop-a": "loop-b", "loop-b": "loop-a", "out": "/etc/hostname"}.items():
        os.symlink(target, f"{root}/{name}")
    os.mkfifo(f"{root}/fifo", 0o640)
    unix_socket(f"{root}/socket")
    write(f"{root}/linked", b"three names")
    os.mkdir(f"{root}/a-before")
    os.link(
        f"{root}/linked", f"{root}/a-before/linked"
    )  # the first member of the group, in the order of the tree
    os.link(f"{root}/linked", f"{root}/zz")
    write(f"{root}/big", random.Random(1).randbytes(12 * MIB))
    for name, offsets in {"sparse": (8 * MIB, 32 * MIB), "ends in a hole": (0, 20 * MIB)}.items():
        with open(f"{root}/{name}", "wb") as file:
            for offset in offsets:
                file.seek(offset)
                file.write(b"data" * 2000)
            file.truncate(48 * MIB)
    write(f"{root}/private", b"set")
    os.chmod(f"{root}/private", 0o4751)
    os.setxattr(f"{root}/private", "user.note", b"\x00any bytes\xff")
    for number, name in enumerate(["private", "empty directory", "many", "fifo"]):
        os.utime(f"{root}/{name}", ns=(1, 1_234_567_890_123_456_789 + number))
    if os.geteuid() == 0:
        os.chown(f"{root}/private", 12345, 54321)
        os.chmod(f"{root}/private", 0o4751)
        os.lchown(f"{root}/loop-a", 1, 2)
        os.mknod(f"{root}/null", stat.S_IFCHR | 0o600, os.makedev(1, 3))


def state(root):
    """Everything that ``root`` holds, by relative path. By descriptors: paths are longer than the system takes."""
    top, found, groups = os.fsencode(root), {}, {}
    for directory, folders, files, here in os.fwalk(top, follow_symlinks=False):
        for name in [*([b"."] if directory == top else []), *folders, *files]:
            status, content = os.lstat(name, dir_fd=here), None
            path = os.path.relpath(os.path.join(directory, name), top)
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(name, dir_fd=here)
            elif stat.S_ISREG(status.st_mode):
                groups.setdefault(status.st_ino, set()).add(path)
                descriptor = os.open(name, os.O_RDONLY, dir_fd=here)
                with open(descriptor, "rb") as file:
                    content = file.read(), holes(descriptor, status.st_size), xattrs(descriptor)
            owner = status.st_uid, status.st_gid
            found[path] = (status.st_mode, owner, status.st_mtime_ns, status.st_rdev, content)
    return found, sorted(sorted(group) for group in groups.values() if len(group) > 1)


def holes(descriptor, size):
    """Where its holes begin and end; its end counts as the beginning of one."""
    found, at = [], 0
    while at < size:
        found.append(os.lseek(descriptor, at, os.SEEK_HOLE))
        try:
            at = os.lseek(descriptor, found[-1], os.SEEK_DATA)
        except OSError:  # no data behind
            break
        found.append(at)
    return found


def xattrs(descriptor):
    return {name: os.getxattr(descriptor, name) for name in os.listxattr(descriptor)}


@pytest.fixture(scope="module")
def captured():
    """Three snapshots: a big one in packs, two small ones in the journal; and an odd one of another root."""
    with place() as scratch:
        home, root, states = Home(f"{scratch}/home"), f"{scratch}/root", {}
        os.mkdir(root)
        made = home.ask("init")
        make_hard_tree(root)
        for change in (
            lambda: None,
            lambda: write(f"{root}/many/007", b"changed"),
            lambda: (os.unlink(f"{root}/big"), write(f"{root}/new", b"new")),
        ):
            change()
            home.ask("capture", root)
            states[len(states) + 1] = state(root)
        os.mkdir(f"{scratch}/other")
        write(f"{scratch}/other/file", b"of another root")
        home.ask("capture", f"{scratch}/other")
        kit = Path(made["recovery_kit"]).read_text()
        key = re.search(r"^ {4}([0-9A-Z]{5}(-[0-9A-Z]{5}){13})$", kit, re.MULTILINE).group(1)
        yield Captured(made["path"], key, made["key_file"], root, states)


@pytest.fixture
def copy(captured):
    """A copy of the repository, to be damaged."""
    with place() as scratch:
        shutil.copytree(captured.repository, f"{scratch}/repository")
        yield f"{scratch}/repository"


@pytest.fixture
def out():
    with place() as scratch:
        yield f"{scratch}/out"


def surroundings(bench, modules):
    paths = [f"{bench}/{folder}" for folder in modules]
    return {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def run(bench, repository, *words, key="", modules=("plain", "full"), typed=None):
    """Run the program that lies in the repository, by an interpreter without ``site``: no virtual environment, no Lastro."""
    done = subprocess.run(
        [sys.executable, "-S", f"{repository}/RESTORE.py", *words],
        env=surroundings(bench, modules) | ({"LASTRO_RECOVERY_KEY": key} if key else {}),
        input=typed or b"",
        cwd="/",
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_nothing_of_lastro_can_be_imported_where_it_runs(bench):
    for name in ("lastro", "msgspec", "click", "zstandard"):
        done = subprocess.run(
            [sys.executable, "-S", "-c", f"import {name}"],
            env=surroundings(bench, ("plain", "full")), cwd="/", capture_output=True, check=False,
        )  # fmt: skip
        assert b"ModuleNotFoundError" in done.stderr, name


def test_the_repository_holds_it_as_it_was_released(captured):
    with open(f"{captured.repository}/RESTORE.py", "rb") as lies, open(SOURCE, "rb") as released:
        assert lies.read() == released.read()
    assert all(objects(captured.repository, name) for name in ("data", "meta", "index", "log", "journal"))


def test_it_is_python_3_9_and_does_not_import_lastro():
    tree = ast.parse(Path(SOURCE).read_text(), feature_version=(3, 9))
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name.name for node in nodes for name in node.names} | {
        getattr(node, "module", "") for node in nodes
    }
    assert {"json", "cryptography.exceptions"} <= names
    assert not any(name.startswith(("lastro", "msgspec")) for name in names)


# what comes back


@pytest.mark.parametrize("modules", [("plain", "full"), ("plain",)], ids=["blake3", "no blake3"])
def test_every_snapshot_comes_back_as_it_was_captured(captured, bench, out, modules):
    for number, expected in captured.states.items():
        answer = run(
            bench,
            captured.repository,
            "restore",
            str(number),
            f"{out}{number}",
            key=captured.key,
            modules=modules,
        )
        assert (answer.code, "blake3" in answer.err) == (0, "full" not in modules), answer
        found = state(f"{out}{number}")
        assert found[0].keys() == expected[0].keys()
        assert {path for path in expected[0] if found[0][path] != expected[0][path]} == set()
        assert found[1] == expected[1] == [[b"a-before/linked", b"linked", b"zz"]]


def test_the_newest_of_every_root_comes_back(captured, bench, out):
    answer = run(bench, captured.repository, "restore", out, key=captured.key)
    assert answer.code == 0, answer
    assert state(f"{out}/local{captured.root}") == captured.states[3]
    other = os.path.dirname(captured.root) + "/other/file"
    assert Path(f"{out}/local{other}").read_bytes() == b"of another root"


@pytest.mark.parametrize("below", [True, False])
def test_a_path_comes_back_with_its_hard_links(captured, bench, out, below):
    path = "zz" if below else f"{captured.root}/zz"
    answer = run(bench, captured.repository, "restore", "3", out, path, key=captured.key)
    assert (answer.code, os.listdir(out)) == (0, ["zz"]), answer
    assert Path(f"{out}/zz").read_bytes() == b"three names"
    assert run(bench, captured.repository, "restore", "3", f"{out}2", "none", key=captured.key).code == 2


def test_the_list_is_what_lastro_says(captured, bench):
    lines = run(bench, captured.repository, "list", key=captured.key).out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4"]
    assert all(re.fullmatch(r"\d+ \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ local /.* \d+", line) for line in lines)
    files = sum(stat.S_ISREG(facts[0]) for facts in captured.states[3][0].values())
    assert lines[2].endswith(f" {captured.root} {files - 2}")  # a group of three names is one file


def test_the_repository_is_only_read_and_what_exists_is_left_alone(captured, bench, out):
    before = state(captured.repository)
    os.mkdir(out)
    write(f"{out}/mine", b"mine")
    answer = run(bench, captured.repository, "restore", "3", out, key=captured.key)
    assert (answer.code, os.listdir(out)) == (2, ["mine"]), answer
    assert run(bench, captured.repository, "restore", "3", f"{out}2", key=captured.key).code == 0
    assert state(captured.repository) == before


def test_the_golden_repository_comes_back(bench, out):
    """It has both ciphers, a file that was never read, and inode flags."""
    golden = Path(__file__).parents[1] / "golden/format/0-dev"
    key = (golden / "recovery-key").read_text()
    with place() as scratch:
        shutil.copy(SOURCE, f"{scratch}/RESTORE.py")
        answer = run(bench, scratch, str(golden / "repository"), "restore", out, key=key)
    assert (answer.code, "DAMAGED" in answer.err) == (3, False), answer
    assert "not made, its content was never captured: unread\n" in answer.err
    assert "inode flags not set (never done here): a\n" in answer.err
    found = {name: Path(f"{out}/web/srv/{name}").read_bytes() for name in ("a", "sub/b", "noise", "sparse")}
    assert (found["a"], found["sub/b"]) == (b"hello again\n", b"second\n")
    assert (len(found["noise"]), found["sparse"].strip(b"\0")) == (200_000, b"end")


@pytest.mark.needs("root", "setpriv", "an interpreter that others may run")
def test_what_is_not_permitted_is_said(captured, bench):
    with place() as scratch:
        for name in ("python", "repository"):
            shutil.copytree(
                captured.repository if name == "repository" else f"{bench}/plain", f"{scratch}/{name}"
            )
        subprocess.run(["chown", "-R", "65534:65534", scratch], check=True)
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-S",
             f"{scratch}/repository/RESTORE.py", "restore", "3", f"{scratch}/out"],
            env=surroundings(scratch, ["python"]) | {"LASTRO_RECOVERY_KEY": captured.key},
            cwd="/", capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 3, done
        assert b"owner not set (Operation not permitted): " in done.stderr
        assert b"char not made" in done.stderr
        assert stat.S_IMODE(os.lstat(f"{scratch}/out/private").st_mode) == 0o751
        assert Path(f"{scratch}/out/private").read_bytes() == b"set"


# secrets


def test_the_recovery_key_is_taken_as_people_type_it(captured, bench):
    typed = captured.key.lower().replace("-", " ").replace("0", "o").replace("1", "l")
    assert run(bench, captured.repository, "list", typed=typed.encode() + b"\n").code == 0
    assert run(bench, captured.repository, "--key-file", captured.key_file, "list").code == 0


def test_a_mistyped_key_is_told_from_a_wrong_one(captured, bench):
    groups = captured.key.split("-")
    mistyped = [
        *groups[:6],
        groups[6][:2] + ("A" if groups[6][2] != "A" else "B") + groups[6][3:],
        *groups[7:],
    ]
    with place() as scratch:
        other = Home(f"{scratch}/home").ask("init")
        wrong = re.search(r"^ {4}(\S{83})$", Path(other["recovery_kit"]).read_text(), re.MULTILINE).group(1)
        keys = {
            "-".join(mistyped): "group 7",
            "-".join(groups[:-1]): "group 14",
            wrong: "does not open",
            "": "group 1 ",
        }
        for modules in (("plain", "full"), ("plain",)):
            for key, said in keys.items():
                answer = run(bench, captured.repository, "list", typed=f"{key}\n".encode(), modules=modules)
                assert (answer.code, said in answer.err) == (12, True), answer
        answer = run(bench, captured.repository, "--key-file", other["key_file"], "list")
        assert (answer.code, "does not open" in answer.err) == (12, True), answer


# damage


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def objects(repository, folder):
    return sorted(str(path) for path in Path(repository, folder).rglob("*") if path.is_file())


@pytest.mark.parametrize("how", ["missing", "damaged"])
def test_without_its_index_the_packs_are_read(captured, bench, copy, out, how):
    if how == "missing":
        shutil.rmtree(f"{copy}/index")
    else:
        flip(objects(copy, "index")[0], 100)
    answer = run(bench, copy, "restore", "1", out, key=captured.key)
    assert (answer.code, "DAMAGED index/" in answer.err) == ((0, False) if how == "missing" else (6, True)), (
        answer
    )
    assert state(out) == captured.states[1]


@pytest.mark.parametrize("modules", [("plain", "full"), ("plain",)], ids=["blake3", "no blake3"])
def test_a_flipped_bit_in_a_pack_costs_the_files_in_that_frame(captured, bench, copy, out, modules):
    pack = max(objects(copy, "data"), key=os.path.getsize)
    flip(pack, 5 * MIB)
    answer = run(bench, copy, "restore", "1", out, key=captured.key, modules=modules)
    assert (answer.code, "DAMAGED big: kept as big.lastro-damaged: chunk " in answer.err) == (6, True), answer
    assert os.path.relpath(pack, copy) in answer.err
    found, expected = state(out)[0], captured.states[1][0]
    assert not os.path.lexists(f"{out}/big")
    assert {path for path in expected if found.get(path) != expected[path]} == {b"big"}
    kept, whole = found[b"big.lastro-damaged"][4][0], expected[b"big"][4][0]
    assert len(kept) == len(whole)
    wrong = [at for at in range(0, len(whole), 4096) if kept[at : at + 4096] != whole[at : at + 4096]]
    assert 0 < len(wrong) * 4096 < 3 * MIB
    assert not any(any(kept[at + 4096 : at + 8192]) for at in wrong if {at + 4096, at + 8192} <= set(wrong))


@pytest.mark.parametrize("place_in_frame", [4, 200])
def test_a_flipped_bit_in_the_journal_costs_one_commit(captured, bench, copy, out, place_in_frame):
    second = objects(copy, "journal")[-3]  # of the second snapshot: every command begins a segment
    with open(second, "rb") as file:
        raw = file.read()
    statement = 48 + 16 + -(-int.from_bytes(raw[48:52], "big") // 16) * 16
    flip(second, statement + place_in_frame)
    answer = run(bench, copy, "restore", "3", out, key=captured.key)
    assert answer.code == 6, answer
    assert re.search(
        rf"^DAMAGED journal/{os.path.basename(second)}: frame 1 .* bytes$", answer.err, re.MULTILINE
    )
    assert re.search(r"^DAMAGED record \d+ is missing$", answer.err, re.MULTILINE)
    assert "DAMAGED many/: not all in it could be read" in answer.err
    found, expected = state(out)[0], captured.states[3][0]
    assert {
        path for path in expected if found.get(path) != expected[path] and not path.startswith(b"many")
    } == set()


def test_what_a_run_made_in_its_own_view_is_restored_by_its_number_alone(bench, out):
    with place() as scratch:
        kit = Kit(LocalBackend(f"{scratch}/repository"))
        with kit.create() as repository:
            for name, kind in (("live", "files"), ("view", "run")):
                with repository.begin() as made:
                    pipe = to_tree_entry(Entry(path=name, type=EntryType.FIFO, mode=0o600))
                    root = to_tree_entry(Entry(path="", type=EntryType.DIRECTORY, mode=0o700))
                    root = update(made, made, None, {"": root, name: pipe})
                    draft = snapshot_draft(root)
                    made.commit(structs.replace(draft, target=structs.replace(draft.target, kind=kind)))
        key = f"{scratch}/key"
        Path(key).write_bytes(kit.secret.content)
        listed = run(bench, f"{scratch}/repository", "--key-file", key, "list")
        assert [line.endswith("(run)") for line in listed.out.splitlines()] == [False, True], listed
        newest = run(bench, f"{scratch}/repository", "--key-file", key, "restore", out)
        assert (newest.code, os.listdir(f"{out}/local/srv")) == (0, ["live"]), newest
        named = run(bench, f"{scratch}/repository", "--key-file", key, "restore", "2", f"{out}-2")
        assert (named.code, os.listdir(f"{out}-2")) == (0, ["view"]), named


def test_behind_damage_the_journal_is_read_on(bench):
    root = to_tree_entry(Entry(path="", type=EntryType.DIRECTORY))
    with place() as scratch:
        kit = Kit(LocalBackend(f"{scratch}/repository"))
        with kit.create() as repository:
            for number in range(4):
                with repository.begin() as made:
                    made.put(noise(number))
                    made.commit(snapshot_draft(root))
        segment, damaged = objects(f"{scratch}/repository", "journal")[0], Path(f"{scratch}/key")
        damaged.write_bytes(kit.secret.content)
        listed = run(bench, f"{scratch}/repository", "--key-file", str(damaged), "list")
        assert (listed.code, len(listed.out.splitlines())) == (0, 4), listed
        with open(segment, "rb") as file:
            raw = file.read()
        starts = [48]
        while starts[-1] < len(raw):
            starts.append(
                starts[-1] + 16 + -(-int.from_bytes(raw[starts[-1] : starts[-1] + 4], "big") // 16) * 16
            )
        assert len(starts) == 7  # statement, birth, four commits, the end
        flip(segment, starts[3] + 2)
        answer = run(bench, f"{scratch}/repository", "--key-file", str(damaged), "list")
        assert (answer.code, [line.split()[0] for line in answer.out.splitlines()]) == (6, ["1", "3", "4"]), (
            answer
        )
        assert f": frame 3 is damaged, {starts[4] - starts[3]} bytes" in answer.err


def test_a_pack_that_is_gone_is_named(captured, bench, copy, out):
    pack = max(objects(copy, "data"), key=os.path.getsize)
    os.unlink(pack)
    answer = run(bench, copy, "restore", "1", out, key=captured.key)
    assert (answer.code, f"DAMAGED {os.path.relpath(pack, copy)}: " in answer.err) == (6, True), answer
    assert "DAMAGED big: kept as" in answer.err
    assert run(bench, copy, "restore", "2", f"{out}2", "many/007", key=captured.key).code == 6
    assert Path(f"{out}2/many/007").read_bytes() == b"changed"


@pytest.mark.parametrize("tear", ["zeros", "cut", "prefix"])
def test_a_torn_append_is_no_damage(captured, bench, copy, tear):
    newest = objects(copy, "journal")[-1]
    with open(newest, "r+b") as file:
        if tear == "cut":
            file.truncate(os.path.getsize(newest) - 20)
        else:
            file.seek(0, os.SEEK_END)
            file.write(bytes(1000) if tear == "zeros" else b"\1\2\3")
    answer = run(bench, copy, "list", key=captured.key)
    expected = ["1", "2", "3"] if tear == "cut" else ["1", "2", "3", "4"]
    assert (answer.code, answer.err, [line.split()[0] for line in answer.out.splitlines()]) == (
        0,
        "",
        expected,
    )


def test_the_format_object_is_not_needed(captured, bench, copy, out):
    write(f"{copy}/format", b"{}")
    answer = run(bench, copy, "restore", "3", out, key=captured.key)
    assert (answer.code, "DAMAGED format: " in answer.err) == (6, True), answer
    assert state(out) == captured.states[3]


def test_it_reads_beside_a_writer(bench):
    with place() as scratch:
        home, root = Home(f"{scratch}/home"), f"{scratch}/root"
        os.mkdir(root)
        made = home.ask("init")
        key = re.search(r"^ {4}(\S{83})$", Path(made["recovery_kit"]).read_text(), re.MULTILINE).group(1)
        write(f"{root}/file", random.Random(0).randbytes(6 * MIB))
        home.ask("capture", root)
        writers = subprocess.Popen(
            ["sh", "-c", f'for n in 1 2 3 4; do head -c 5000000 /dev/urandom > {root}/$n; "$@" capture {root} || exit 9; done',
             "sh", *home.command()],
            env=home.surroundings, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        beside = 0
        while writers.poll() is None:
            answer = run(bench, made["path"], "restore", f"{scratch}/out{beside}", key=key)
            assert (answer.code, answer.err) == (0, ""), answer
            assert (
                Path(f"{scratch}/out{beside}/local{root}/file").read_bytes()
                == Path(f"{root}/file").read_bytes()
            )
            beside += 1
        assert (writers.returncode, beside > 1) == (0, True)
        assert len(run(bench, made["path"], "list", key=key).out.splitlines()) == 5
