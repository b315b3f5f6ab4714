"""Provider keys: where they come from, how they are sent and kept, and that nothing that fails shows one."""

import asyncio
import contextlib
import errno
import os
import pickle
import stat
import sys
import time
import traceback

import pytest

from lastro.domain.clock import SystemClock
from lastro.errors import ConfigError, DamagedError, LastroError, NotFoundError, StorageFullError
from lastro.filesystem.system import System
from lastro.gateway.credentials import CredentialStore
from lastro.gateway.dialects.neutral import Dialect
from lastro.gateway.provider import KEY_LIFE_S, KeySource, Provider, ProviderKind
from lastro.gateway.secret_text import SecretText, parse_key
from lastro.gateway.stored_keys import StoredKeys

KEY = "sk-test-0123456789abcdefghij"


class Clock(SystemClock):
    def __init__(self):
        self.ahead_s = 0

    def monotonic_ns(self):
        return super().monotonic_ns() + self.ahead_s * 1_000_000_000


class Workshop:
    """A store on real directories, and what it was made with."""

    def __init__(self, root, **options):
        self.secrets = root / "secrets"
        self.secrets.mkdir(mode=0o700)
        self.directory = self.secrets / "gateway"
        self.master = self.secrets / "gateway.key"
        self.environment = {}
        self.providers = []
        self.clock = Clock()
        self.system = System()
        self.stored = self.open_keys()
        self.store = CredentialStore(
            self.stored,
            environment=self.environment,
            providers=lambda: self.providers,
            clock=self.clock,
            **options,
        )

    def open_keys(self):
        return StoredKeys(str(self.directory), str(self.master), entropy=os.urandom, system=self.system)

    def headers(self, source, *, kind=ProviderKind.OPENAI, dialect=Dialect.CHAT):
        return asyncio.run(self.store.headers(provider(source, kind=kind), dialect))


def provider(source=None, *, name="acme", kind=ProviderKind.OPENAI):
    return Provider(name=name, kind=kind, base_url="http://127.0.0.1:1/v1", key=source or KeySource())


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)


def private(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return KeySource(file=str(path))


def bearer(key=KEY):
    return {"authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("kind", "dialect", "expected"),
    [
        (ProviderKind.OPENAI, Dialect.RESPONSES, bearer()),
        (ProviderKind.COMPATIBLE, Dialect.CHAT, bearer()),
        (ProviderKind.ANTHROPIC, Dialect.MESSAGES, {"x-api-key": KEY, "anthropic-version": "2023-06-01"}),
        (ProviderKind.ANTHROPIC, Dialect.CHAT, bearer()),
        (ProviderKind.COMPATIBLE, Dialect.MESSAGES, {**bearer(), "anthropic-version": "2023-06-01"}),
        (ProviderKind.GOOGLE, Dialect.GEMINI, {"x-goog-api-key": KEY}),
        (ProviderKind.GOOGLE, Dialect.CHAT, bearer()),
    ],
)
def test_each_dialect_carries_the_key_in_its_own_header(workshop, kind, dialect, expected):
    workshop.environment["ACME"] = KEY
    assert workshop.headers(KeySource(environment="ACME"), kind=kind, dialect=dialect) == expected


def test_a_provider_that_takes_no_key_gets_none(workshop):
    assert workshop.headers(KeySource(), kind=ProviderKind.COMPATIBLE) == {}
    assert workshop.store.has_key(provider())


def test_a_file_is_read_anew_when_it_changed(workshop, tmp_path):
    source = private(tmp_path / "key", KEY + "\n")
    assert workshop.headers(source) == bearer()
    private(tmp_path / "key", "another-key-entirely\n")
    assert workshop.headers(source) == bearer("another-key-entirely")
    (tmp_path / "key").unlink()
    with pytest.raises(ConfigError):
        workshop.headers(source)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644])
def test_a_file_that_others_can_read_or_change_is_refused(workshop, tmp_path, mode):
    source = private(tmp_path / "key", KEY)
    (tmp_path / "key").chmod(mode)
    with pytest.raises(ConfigError) as caught:
        workshop.headers(source)
    assert "chmod 600" in caught.value.hint_text
    assert not workshop.store.has_key(provider(source))


def test_a_pipe_or_a_directory_in_place_of_a_file_is_refused_at_once(workshop, tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ConfigError):
            workshop.headers(KeySource(file=str(path)))


def test_a_command_says_the_key_and_is_asked_again_when_its_answer_is_old(workshop, tmp_path):
    counter = tmp_path / "count"
    program = f"open({str(counter)!r}, 'a').write('x'); print({KEY!r}); print('more')"
    source = KeySource(command=(sys.executable, "-c", program))

    async def thrice():
        return await asyncio.gather(
            *(workshop.store.headers(provider(source), Dialect.CHAT) for _ in range(3))
        )

    assert asyncio.run(thrice()) == [bearer()] * 3
    assert counter.read_text() == "x"
    workshop.clock.ahead_s = KEY_LIFE_S - 30
    workshop.headers(source)
    assert counter.read_text() == "x"
    workshop.clock.ahead_s = KEY_LIFE_S + 1
    workshop.headers(source)
    assert counter.read_text() == "xx"


def test_a_command_has_no_shell(workshop, tmp_path):
    with pytest.raises(ConfigError):
        workshop.headers(KeySource(command=(f"touch {tmp_path}/made",)))
    assert workshop.headers(KeySource(command=("/bin/echo", "$HOME;`id`"))) == bearer("$HOME;`id`")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "program",
    [
        "import sys; print(KEY); sys.exit(3)",
        "import sys; sys.stderr.write(KEY); sys.exit(1)",
        "print(KEY, KEY)",
        "print(KEY * 1000)",
        "pass",
        "import os; os.write(1, b'\\xff' + KEY.encode())",
    ],
)
def test_a_command_that_fails_is_no_key_and_its_output_is_not_shown(workshop, program):
    source = KeySource(command=(sys.executable, "-c", f"KEY = '{KEY[:14]}' + '{KEY[14:]}'\n{program}"))
    with pytest.raises(ConfigError) as caught:
        workshop.headers(source)
    assert KEY not in everything_about(caught.value)


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", "while True: print('x' * 5000)"])
def test_a_command_that_does_not_end_is_ended(tmp_path, program):
    workshop = Workshop(tmp_path, command_s=0.4)
    pid = tmp_path / "pid"
    program = f"import os; open({str(pid)!r}, 'w').write(str(os.getpid()))\n{program}"
    with pytest.raises(ConfigError):
        workshop.headers(KeySource(command=(sys.executable, "-c", program)))
    assert gone(int(pid.read_text()))


def test_what_a_command_started_ends_with_it(tmp_path):
    workshop = Workshop(tmp_path, command_s=0.4)
    pid = tmp_path / "pid"
    with pytest.raises(ConfigError):
        workshop.headers(KeySource(command=("/bin/sh", "-c", f"sleep 60 & echo $! > {pid}; wait")))
    assert gone(int(pid.read_text()))


def test_a_command_ends_with_the_call_that_wanted_it(workshop, tmp_path):
    pid = tmp_path / "pid"
    program = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    source = KeySource(command=(sys.executable, "-c", program))

    async def cancelled():
        call = asyncio.create_task(workshop.store.headers(provider(source), Dialect.CHAT))
        while not (pid.exists() and pid.read_text()):  # noqa: ASYNC110  another process says it
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(cancelled())
    assert gone(int(pid.read_text()))


def gone(pid):
    for _ in range(200):
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as file:
                if (
                    file.read().rpartition(")")[2].split()[0] == "Z"
                ):  # dead, and its new parent has not looked yet
                    return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


def test_a_stored_key_comes_back_and_lies_encrypted(workshop):
    workshop.store.store("acme", KEY)
    assert workshop.headers(KeySource(stored=True)) == bearer()
    path = workshop.directory / "acme.key"
    assert KEY.encode() not in path.read_bytes()
    for written in (path, workshop.master):
        assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert stat.S_IMODE(workshop.directory.stat().st_mode) == 0o700
    assert workshop.store.exists("acme")
    assert not workshop.store.exists("other")
    workshop.store.store("acme", "a-new-one-for-acme")
    assert workshop.headers(KeySource(stored=True)) == bearer("a-new-one-for-acme")
    assert sorted(os.listdir(workshop.directory)) == ["acme.key"]
    assert workshop.store.remove("acme")
    assert not workshop.store.remove("acme")
    with pytest.raises(NotFoundError):
        workshop.headers(KeySource(stored=True))


def test_the_same_key_stored_twice_does_not_look_the_same(workshop):
    workshop.store.store("acme", KEY)
    first = (workshop.directory / "acme.key").read_bytes()
    workshop.store.store("acme", KEY)
    assert (workshop.directory / "acme.key").read_bytes() != first


def test_a_file_of_one_provider_is_none_of_another(workshop):
    workshop.store.store("acme", KEY)
    workshop.store.store("zeta", "other-key-for-zeta")
    os.replace(workshop.directory / "zeta.key", workshop.directory / "acme.key")
    with pytest.raises(DamagedError):
        workshop.headers(KeySource(stored=True))


@pytest.mark.parametrize("place", [0, 5, 25, 40, -1])
def test_a_flipped_bit_is_noticed(workshop, place):
    workshop.store.store("acme", KEY)
    path = workshop.directory / "acme.key"
    raw = bytearray(path.read_bytes())
    raw[place] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DamagedError):
        workshop.headers(KeySource(stored=True))


def test_a_lost_master_key_is_said_and_not_replaced_in_silence(workshop):
    workshop.store.store("acme", KEY)
    workshop.master.unlink()
    with pytest.raises(DamagedError) as caught:
        workshop.headers(KeySource(stored=True))
    assert str(workshop.master) in str(caught.value)
    assert not workshop.master.exists()
    workshop.master.write_text("zz")
    workshop.master.chmod(0o600)
    with pytest.raises(DamagedError):
        workshop.store.store("zeta", KEY)


def test_two_that_store_first_at_once_have_one_master_key(workshop):
    other = workshop.open_keys()

    class Slow(System):
        def rename_new(self, *arguments):
            if not workshop.master.exists():
                other.put("zeta", SecretText("key-of-the-faster"))
            super().rename_new(*arguments)

    StoredKeys(str(workshop.directory), str(workshop.master), entropy=os.urandom, system=Slow()).put(
        "acme", SecretText(KEY)
    )
    assert workshop.stored.get("acme").reveal() == KEY
    assert workshop.stored.get("zeta").reveal() == "key-of-the-faster"
    assert sorted(os.listdir(workshop.secrets)) == ["gateway", "gateway.key"]


def test_a_full_disk_keeps_the_old_key(workshop):
    workshop.store.store("acme", KEY)

    class Full(System):
        def write(self, *_):
            raise OSError(errno.ENOSPC, "full")

    full = StoredKeys(str(workshop.directory), str(workshop.master), entropy=os.urandom, system=Full())
    with pytest.raises(StorageFullError):
        full.put("acme", SecretText("another-key"))
    assert workshop.stored.get("acme").reveal() == KEY
    assert os.listdir(workshop.directory) == ["acme.key"]


@pytest.mark.parametrize("name", ["../x", "", "A", "a/b", "-a", "a" * 65, "a\0"])
def test_a_name_that_is_no_providers_reaches_no_file(workshop, name):
    for act in (workshop.stored.get, workshop.stored.remove, workshop.stored.exists):
        with pytest.raises(ConfigError):
            act(name)


@pytest.mark.parametrize(
    "raw", [b"", b" \n", b"two words", b"two\nlines", b"\xc3\xa9", b"a\x00b", b"x" * 8193, b"a\x7f"]
)
def test_what_cannot_stand_in_a_header_is_no_key(raw):
    assert parse_key(raw) is None


def test_all_values_are_those_seen_and_those_that_can_be_seen(workshop, tmp_path):
    workshop.environment["ACME"] = "key-of-the-environment"
    workshop.store.store("kept", "key-that-is-stored")
    command = KeySource(command=("/bin/echo", "key-of-a-command"))
    workshop.providers += [
        provider(KeySource(environment="ACME"), name="a"),
        provider(private(tmp_path / "key", "key-of-a-file"), name="b"),
        provider(KeySource(stored=True), name="kept"),
        provider(command, name="c"),
        provider(KeySource(environment="NOWHERE"), name="d"),
        provider(name="e"),
    ]
    seen = workshop.store.all_values()
    assert seen == {"key-of-the-environment", "key-that-is-stored", "key-of-a-file"}
    assert workshop.store.all_values() is seen
    workshop.headers(command)
    private(tmp_path / "key", "key-after-rotation")
    assert workshop.store.all_values() == seen | {"key-of-a-command", "key-after-rotation"}


def everything_about(error):
    """All that a log, a debugger or a report may show of an error: its text, its causes, its frames with their locals."""
    seen, todo, shown = set(), [error], []
    while todo:
        each = todo.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        todo += [each.__cause__, each.__context__]
        shown += [str(each), repr(each), repr(each.args), repr(vars(each))]
        with contextlib.suppress(Exception):
            shown.append(repr(pickle.dumps(each)))
        details = traceback.TracebackException.from_exception(each, capture_locals=True)
        for frame in details.stack:
            if "/lastro/" in frame.filename:
                shown.append(repr(frame.locals))
    return "\n".join(shown)


def test_no_error_shows_a_key(workshop, tmp_path):
    spoilt = f"{KEY} with words"
    workshop.environment["SPOILT"] = spoilt
    workshop.store.store("acme", KEY)
    damaged = workshop.directory / "acme.key"
    errors = []

    def provoke(act):
        with pytest.raises(LastroError) as caught:
            act()
        errors.append(caught.value)

    provoke(lambda: workshop.headers(KeySource(environment="SPOILT")))
    provoke(lambda: workshop.headers(private(tmp_path / "key", spoilt)))
    provoke(lambda: workshop.headers(KeySource(command=("/bin/echo", "a b"))))
    provoke(lambda: workshop.store.store("acme", spoilt))
    provoke(lambda: workshop.store.store("../acme", KEY))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    provoke(lambda: workshop.headers(KeySource(stored=True)))
    workshop.directory.rename(tmp_path / "away")
    workshop.directory.write_text("a file")
    provoke(lambda: workshop.store.store("acme", KEY))
    for error in errors:
        assert KEY not in everything_about(error), error
        assert error.hint or isinstance(error, ConfigError)


def test_a_secret_does_not_show_itself():
    secret = SecretText(KEY)
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r}", repr([secret]), repr({"k": secret})):
        assert KEY not in shown
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    assert secret == SecretText(KEY)
    assert secret != SecretText(KEY + "x")
    assert secret != KEY
