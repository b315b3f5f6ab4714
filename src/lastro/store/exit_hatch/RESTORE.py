#!/usr/bin/env python3
"""Bring back what this Lastro repository keeps, without Lastro. / Traz de volta o que este repositório guarda, sem o Lastro.

Usage: python3 RESTORE.py [REPOSITORY] [--key-file FILE] list | restore [SNAPSHOT] DIRECTORY [PATH]
Uso:   python3 RESTORE.py [REPOSITÓRIO] [--key-file ARQUIVO] list | restore [SNAPSHOT] DIRETÓRIO [CAMINHO]

DIRECTORY is made; it must not exist yet. Without SNAPSHOT (a number from `list`): the newest of each root, in DIRECTORY/SERVER/ROOT.
DIRETÓRIO é criado; não pode existir antes. Sem SNAPSHOT (um número de `list`): o mais novo de cada raiz, em DIRETÓRIO/SERVIDOR/RAIZ.
The recovery key is asked for, or taken from LASTRO_RECOVERY_KEY. / A chave de recuperação é pedida, ou vem de LASTRO_RECOVERY_KEY.

Needs Python >= 3.9, `cryptography`, and zstd: Python 3.14, `backports.zstd` or `zstandard`; uses `blake3` if there. It follows the format
`0-dev` (docs/format.md) and only reads the repository, also while Lastro writes to it. It does not verify signatures: whoever has the key
could make them. Exit status: 0 done; 2 usage; 3 done but for what is listed; 6 something is damaged; 10 no repository; 12 wrong key.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import importlib
import itertools
import json
import os
import re
import stat
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KINDS = {"data": 1, "meta": 2, "journal": 3, "index": 4, "log": 5}
SPECIAL = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "char": stat.S_IFCHR, "block": stat.S_IFBLK}


class Damage(Exception):  # noqa: N818  it is what it says
    """Stored bytes are not what was written."""


class Stop(Exception):  # noqa: N818  as above
    """Nothing more can be done: exit status and sentence."""


def module(*names: str) -> Any:
    """The first of these modules that is installed."""
    for name in names:
        with contextlib.suppress(ImportError):
            return importlib.import_module(name)
    return None


ZSTD = module("compression.zstd", "backports.zstd", "zstandard")
BLAKE3 = module("blake3")


def shown(name: bytes) -> str:
    """A name without anything that a terminal would obey."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# BLAKE3, msgpack, zstd ------------------------------------------------------------------------------------------------

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
MIXED = [(i, 4 + (i + s) % 4, 8 + (i + 2 * s) % 4, 12 + (i + 3 * s) % 4) for s in (0, 1) for i in range(4)]


def blake3(data: bytes, key: bytes = b"") -> bytes:
    """BLAKE3; without the module of at most 1024 bytes, which is all that reading needs."""
    if BLAKE3 is not None:
        return bytes((BLAKE3.blake3(data, key=key) if key else BLAKE3.blake3(data)).digest())
    chain = list(struct.unpack("<8I", key) if key else IV)
    for at in range(0, max(len(data), 1), 64):
        flags = 16 * bool(key) | 1 * (at == 0) | 10 * (at + 64 >= len(data))
        words = list(struct.unpack("<16I", data[at : at + 64].ljust(64, b"\0")))
        v = [*chain, *IV[:4], 0, 0, min(len(data) - at, 64), flags]
        for _ in range(7):
            for half, (a, b, c, d) in enumerate(MIXED):
                for word, right_d, right_b in ((words[2 * half], 16, 12), (words[2 * half + 1], 8, 7)):
                    v[a] = (v[a] + v[b] + word) & 0xFFFFFFFF
                    v[d] = ((v[d] ^ v[a]) * 0x100000001 >> right_d) & 0xFFFFFFFF
                    v[c] = (v[c] + v[d]) & 0xFFFFFFFF
                    v[b] = ((v[b] ^ v[c]) * 0x100000001 >> right_b) & 0xFFFFFFFF
            words = [words[i] for i in ORDER]
        chain = [v[i] ^ v[i + 8] for i in range(8)]
    return struct.pack("<8I", *chain)


SIMPLE = {0xC0: None, 0xC2: False, 0xC3: True}
NUMBERS = dict(zip(range(0xCA, 0xD4), (">f", ">d", ">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q")))
SIZED = dict(zip((0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB), (">B", ">H", ">I") * 2))
SIZED.update(zip((0xDC, 0xDD, 0xDE, 0xDF), (">H", ">I") * 2))


def unpack(data: bytes) -> Any:
    """The one value of these bytes of msgpack."""
    try:
        value, end = unpack_at(data, 0)
    except (IndexError, KeyError, TypeError, struct.error, UnicodeDecodeError) as error:
        raise Damage("not msgpack") from error
    if end != len(data):
        raise Damage("not msgpack")
    return value


def unpack_at(data: bytes, at: int) -> tuple[Any, int]:
    """A value and where it ends."""
    first, at = data[at], at + 1
    if first < 0x80 or first >= 0xE0:
        return first - 256 * (first >= 0xE0), at
    if first in SIMPLE:
        return SIMPLE[first], at
    if first in NUMBERS:
        return struct.unpack_from(NUMBERS[first], data, at)[0], at + struct.calcsize(NUMBERS[first])
    if first < 0xC0:
        size = first & (31 if first >= 0xA0 else 15)
    else:
        size, at = struct.unpack_from(SIZED[first], data, at)[0], at + struct.calcsize(SIZED[first])
    if 0xA0 <= first < 0xDC:
        raw = data[at : at + size]
        return (raw if 0xC4 <= first <= 0xC6 else raw.decode()), at + size
    values, is_map = [], first < 0x90 or first >= 0xDE
    for _ in range(2 * size if is_map else size):
        value, at = unpack_at(data, at)
        values.append(value)
    return (dict(zip(values[::2], values[1::2])) if is_map else values), at


def unzstd(data: bytes, size: int) -> bytes:
    """What one zstd frame holds, never more than a byte beyond ``size``."""
    try:
        if ZSTD.__name__ == "zstandard":
            return bytes(ZSTD.ZstdDecompressor().stream_reader(data).read(size + 1))
        return bytes(ZSTD.ZstdDecompressor().decompress(data, max_length=size + 1))
    except ZSTD.ZstdError as error:
        raise Damage("zstd") from error


# Secrets --------------------------------------------------------------------------------------------------------------


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA256 to 32 bytes."""
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


def recovery_secret(typed: str) -> bytes:
    """The 32 bytes of a recovery key as it was typed."""
    text = re.sub(r"[\s_.,-]", "", typed).upper().translate(str.maketrans("ILO", "110"))
    values = ["0123456789ABCDEFGHJKMNPQRSTVWXYZ".find(character) for character in text]
    bits = 0
    for group in range(14):
        v = values[5 * group : 5 * group + 5]
        if len(v) < 5 or -1 in v or v[4] != (group + 1 + v[0] + 3 * v[1] + 5 * v[2] + 7 * v[3]) % 32:
            raise Stop(12, f"Recovery key: mistyped in group {group + 1} / Chave: erro no grupo {group + 1}")
        bits = bits << 20 | v[0] << 15 | v[1] << 10 | v[2] << 5 | v[3]
    secret = (bits >> 24).to_bytes(32, "big")
    check = int.from_bytes(blake3(b"lastro-recovery-0" + secret)[:3], "big") & 0xFFFFF
    if len(values) > 70 or bits & 0xFFFFFF != check:
        raise Stop(12, "Recovery key: mistyped somewhere / Chave: há um erro de digitação")
    return secret


def file_secret(path: str) -> bytes:
    """The 32 bytes in a key file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        for words in map(str.split, file):
            if words[:1] == ["lastro-key-0"] and words[3:] == [
                blake3(" ".join(words[:3]).encode()).hex()[:16]
            ]:
                return bytes.fromhex(words[2])
    raise Stop(12, f"Not a whole key file / Não é um arquivo de chave íntegro: {path}")


# The repository -------------------------------------------------------------------------------------------------------


class Encrypted:
    """An encrypted object: checks its header, opens its frames."""

    def __init__(self, header: bytes, kind: int, masters: dict[int, bytes]) -> None:
        master = masters.get(int.from_bytes(header[12:16], "big"))
        start = header[:12] if len(header) == 48 else b""
        if (
            start not in [struct.pack(">8sBBH", b"LASTRO-0", kind, cipher, 0) for cipher in (1, 2)]
            or not master
        ):
            raise Damage("its header is damaged")
        key = hkdf(master, header[16:], b"lastro-object-0" + header[8:9])
        self.header, self.cipher = header, (AESGCM if header[9] == 1 else ChaCha20Poly1305)(key)

    def size(self, number: int, prefix: bytes) -> int:
        """How many bytes frame ``number`` has, by its first 16."""
        if blake3(self.header + struct.pack(">Q", number) + prefix[:4])[:12] != prefix[4:16]:
            raise Damage(f"frame {number} is damaged")
        return 16 + -(-int.from_bytes(prefix[:4], "big") // 16) * 16

    def open(self, number: int, frame: bytes, role: int = 0) -> bytes:
        """The content of a frame."""
        whole, end = self.size(number, frame[:16]), 16 + int.from_bytes(frame[:4], "big")
        try:
            plain = self.cipher.decrypt(
                number.to_bytes(12, "big"), frame[16:end], self.header + bytes([role])
            )
        except (InvalidTag, ValueError) as error:
            raise Damage(f"frame {number} does not open") from error
        size = int.from_bytes(plain[1:5], "big")
        content = unzstd(plain[5:], size) if plain[0] else plain[5:]
        if len(content) != size or len(frame) != whole or frame[end:].strip(b"\xff"):
            raise Damage(f"frame {number} is damaged")
        return content


def torn(encrypted: Encrypted, data: bytes, at: int, number: int) -> bool:
    """Whether the frame that ends ``data`` was an append that was cut off, so never acknowledged."""
    if len(data) - at < 16 or not data[at : at + 16].strip(b"\0"):
        return True
    with contextlib.suppress(Damage):
        end = at + encrypted.size(number, data[at : at + 16])
        sectors = [data[max(at, sector) : sector + 512] for sector in range(at // 512 * 512, end, 512)]
        return end > len(data) or (end == len(data) and not all(part.strip(b"\0") for part in sectors))
    return False


def next_frame(encrypted: Encrypted, data: bytes, start: int, number: int) -> tuple[int, int]:
    """Behind damage: where the next frame with a right prefix is, and its number; the end if there is none."""
    for at in range(start + 16, len(data) - 15, 16):
        if 21 <= int.from_bytes(data[at : at + 4], "big") <= len(data) - at - 16:
            for following in range(number + 1, number + 9):
                with contextlib.suppress(Damage):
                    encrypted.size(following, data[at : at + 16])
                    return at, following
    return len(data), number


class Repository:
    """All records, and where every chunk is. Only reads, and takes no lock."""

    def __init__(self, path: str, kind: str, secret: bytes, damaged: list[str]) -> None:
        self.path, self.damaged = os.path.abspath(path), damaged
        self.opened: dict[str, Encrypted] = {}
        self.recent: dict[tuple[str, int], bytes] = {}
        self.unlock(kind, secret)
        for patience in (1, 0):
            self.records: dict[int, Any] = {}
            self.places: dict[bytes, list[Any]] = {}
            found: list[str] = []
            newest = self.read_journal(
                found
            )  # the journal before the log, both before the index: see "Reading order"
            for name in self.names("log"):
                for _, content in self.frames(name, found):
                    self.take_records(unpack(content))
            gaps = set(range(max([newest, *self.records]) + 1)) - self.records.keys()
            if not gaps:
                break
            time.sleep(patience)  # a commit of a running writer may have been in between
        self.read_index(found)
        damaged += found + [f"record {seq} is missing" for seq in sorted(gaps)]

    def unlock(self, kind: str, secret: bytes) -> None:
        """Find the master keys."""
        names = [name for name in self.names("keys") if name != "keys/signing"]
        if not names and not os.path.exists(f"{self.path}/format"):
            raise Stop(10, f"There is no repository here / Não há repositório aqui: {self.path}")
        described = self.read_json("format")
        if described.get("format", "0-dev") != "0-dev" or described.get("read_features"):
            raise Stop(10, "The format is newer than this program / O formato é mais novo que este programa")
        for name in names:
            slot = self.read_json(name)
            with contextlib.suppress(KeyError, ValueError, TypeError, InvalidTag):
                identity = described.get("id", slot["repository"])
                key, bound = (
                    bytes.fromhex(slot["salt"]),
                    f"lastro-slot-0 {identity} {name[5:]} {kind}".encode(),
                )
                cipher = AESGCM(hkdf(secret, key, b"lastro-slot-0"))
                self.masters = dict(unpack(cipher.decrypt(bytes(12), bytes.fromhex(slot["wrapped"]), bound)))
                self.chunk_key = hkdf(self.masters[1], bytes.fromhex(identity), b"lastro-chunk-id-0")
                return
        raise Stop(12, "This key does not open this repository / Esta chave não abre este repositório")

    def read_json(self, name: str) -> dict[str, Any]:
        """An object in JSON, also if its check is wrong."""
        try:
            raw = self.read(name)
            value = dict(json.loads(raw))
            text = json.dumps({key: value[key] for key in value if key != "check"}, indent=1, sort_keys=True)
            if len(raw) > 1024 or blake3(text.encode() + b"\n").hex() == value.get("check"):
                return value
            self.damaged.append(f"{name}: its check is wrong; used all the same")
        except (OSError, ValueError, TypeError):
            self.damaged.append(f"{name}: missing or damaged")
            return {}
        return value

    def names(self, folder: str) -> list[str]:
        """The names of the objects in a folder, sorted."""
        names: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(f"{self.path}/{folder}"):
                if entry.is_dir(follow_symlinks=False):
                    names += self.names(f"{folder}/{entry.name}")
                elif entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                    names.append(f"{folder}/{entry.name}")
        return sorted(names)

    def read(self, name: str, at: int = 0, size: int = -1) -> bytes:
        """Bytes of an object."""
        with open(f"{self.path}/{name}", "rb") as file:
            file.seek(at)
            return file.read(size)

    def encrypted(self, name: str) -> Encrypted:
        """An encrypted object, to open its frames."""
        if name not in self.opened:
            self.opened[name] = Encrypted(self.read(name, 0, 48), KINDS[name.partition("/")[0]], self.masters)
        return self.opened[name]

    def frames(
        self, name: str, found: list[str], acknowledged: int | None = -1
    ) -> Iterator[tuple[Any, bytes]]:
        """Place and content of every frame that can be read; the others are named in ``found``.

        ``acknowledged``: so many bytes count (-1: all); None: nobody stated it, so the end may be torn.
        """
        try:
            data, at, number = self.read(name), 48, 0
            if acknowledged is not None and acknowledged > len(data):
                found.append(f"{name}: {acknowledged - len(data)} bytes are missing at its end")
            data = data[: None if acknowledged == -1 else acknowledged]
            if acknowledged is None and (len(data) < 48 or not data[:48].strip(b"\0")):
                return
            encrypted = self.encrypted(name)
        except (Damage, OSError) as error:
            found.append(f"{name}: {error}")
            return
        while at < len(data):
            try:
                size = encrypted.size(number, data[at : at + 16])
                content = encrypted.open(number, data[at : at + size])
            except Damage as damage:
                start, (at, number) = (at, number), next_frame(encrypted, data, at, number)
                if acknowledged is not None or at < len(data) or not torn(encrypted, data, *start):
                    found.append(f"{name}: {damage}, {at - start[0]} bytes")
                continue
            yield (name, number, at, size), content
            at, number = at + size, number + 1

    def read_journal(self, found: list[str]) -> int:
        """Returns the ``seq`` up to which there have to be records."""
        names, stated, newest = self.names("journal"), {}, -1
        for name in reversed(names):
            (_, number, _, _), content = next(self.frames(name, [], None), (("", 1, 0, 0), b""))
            if number == 0:
                statement = unpack(content)
                stated, newest = dict(statement["segments"]), statement["head"][0]
                break
        for name in sorted({*names, *(name for name in stated if stated[name])}):
            for frame, content in self.frames(name, found, stated.get(name)):
                if frame[1] > 0:
                    size = 4 + int.from_bytes(content[:4], "big")
                    commit = unpack(content[4:size])
                    self.take_records(commit["records"])
                    self.take_chunks(frame, commit["chunks"], size)
        return int(newest)

    def read_index(self, found: list[str]) -> None:
        """Where the chunks of all packs are: by the index, else by their own directories."""
        listed: dict[str, Any] = {}
        for name in self.names("index"):
            for _, content in self.frames(name, found):
                kind, digest, _, directory = unpack(content)
                listed[f"{kind}/{digest.hex()[:2]}/{digest.hex()}"] = directory
        for name in sorted({*listed, *self.names("data"), *self.names("meta")}):
            try:
                size = os.path.getsize(f"{self.path}/{name}")
                directory = listed.get(name)
                if directory is None:
                    at, number, end = struct.unpack(">QI4s", self.read(name, size - 16))
                    frame = self.read(name, at, size - 16 - at) if end == b"PEND" else b""
                    directory = unpack(self.encrypted(name).open(number, frame, role=1))
                for number, (at, size, chunks) in enumerate(directory):
                    self.take_chunks((name, number, at, size), chunks, 0)
            except (Damage, OSError, ValueError, struct.error) as error:
                found.append(f"{name}: {error}")

    def take_records(self, records: list[Any]) -> None:
        """Remember records."""
        for raw, _ in records:
            record = unpack(raw)
            self.records[record["seq"]] = record

    def take_chunks(self, frame: Any, chunks: list[Any], at: int) -> None:
        """Remember where chunks are."""
        for chunk, length in chunks:
            self.places.setdefault(chunk, []).append((frame, at, length))
            at += length

    def chunk(self, chunk: bytes) -> bytes:
        """The bytes of a chunk, from the first place where they are whole."""
        why = "is in no pack and no journal segment that can be read"
        for (name, number, at, size), begin, length in self.places.get(chunk, []):
            try:
                if (name, number) not in self.recent:
                    content = self.encrypted(name).open(number, self.read(name, at, size))
                    self.recent = dict([*self.recent.items()][-15:])
                    self.recent[name, number] = content
                data = self.recent[name, number][begin : begin + length]
                if BLAKE3 is None or blake3(blake3(data), self.chunk_key) == chunk:
                    return data
                why = f"has another digest in {name}"
            except (Damage, OSError) as error:
                why = f"is lost with {name}: {error}"
        raise Damage(f"chunk {chunk.hex()[:16]} {why}")

    def entries(self, node: bytes | None) -> Iterator[dict[str, Any]]:
        """The entries of a directory. A ``Damage`` ends it."""
        level, items = unpack(self.chunk(node)) if node else (0, [])
        for item in items:
            if level:
                yield from self.entries(item[1])
            elif item["name"] in (b"", b".", b"..") or b"/" in item["name"] or b"\0" in item["name"]:
                raise Damage(f"impossible name {item['name']!r}")
            else:
                yield item

    def pieces(self, items: list[Any], depth: int, lost: list[str]) -> Iterator[tuple[int, bytes | None]]:
        """Length and bytes of the pieces of a file's data; no bytes where they are lost."""
        for chunk, length in items:
            try:
                data = self.chunk(chunk)
                below = unpack(data)[1] if depth else []
            except Damage as damage:
                lost.append(str(damage))
                yield length, None
            else:
                yield from self.pieces(below, depth - 1, lost) if depth else [(length, data)]


# Restoring ------------------------------------------------------------------------------------------------------------


class Tree:
    """The tree of a snapshot, to be written into a new place. By ``chdir``: paths may be longer than systems take."""

    def __init__(self, repository: Repository, root: dict[str, Any], unset: dict[str, list[bytes]]) -> None:
        self.repository, self.root, self.unset, self.place = repository, root, unset, b""
        self.made: dict[bytes, bytes] = {}

    def find(self, path: bytes) -> dict[str, Any]:
        """The entry at a path below the root; empty if there is none."""
        entry = self.root
        for name in path.split(b"/") if path else []:
            below = self.repository.entries(entry.get("subtree"))
            entry = next((each for each in below if each["name"] == name), {})
        return entry

    def restore(self, place: bytes, path: bytes) -> None:
        """Write what is at ``path``; ``place`` is where the root would be."""
        entry, here, self.place = self.find(path), os.path.join(place, path) if path else place, place
        os.makedirs(os.path.dirname(here), exist_ok=True)
        os.chdir(os.path.dirname(here))
        stack = self.make(entry, os.path.basename(here), path)
        while stack:
            path, name, entry, below = stack[-1]
            child = next(below, None)
            if child is None:
                os.chdir("..")
                self.set_attributes(entry, name, path)
                stack.pop()
            else:
                stack += self.make(child, child["name"], (path + b"/" if path else b"") + child["name"])

    def listed(self, entry: dict[str, Any], path: bytes) -> Iterator[dict[str, Any]]:
        """The entries of a directory, as far as they can be read."""
        try:
            yield from self.repository.entries(entry.get("subtree"))
        except Damage as damage:
            self.repository.damaged.append(f"{shown(path)}/: not all in it could be read: {damage}")

    def make(self, entry: dict[str, Any], name: bytes, path: bytes) -> list[Any]:
        """Make one entry here. If it is a directory, go in and return what is needed to go on."""
        kind = entry.get("type", "file")
        try:
            if kind == "dir":
                os.mkdir(name, 0o700)
                os.chdir(name)
                return [(path, name, entry, self.listed(entry, path))]
            if kind == "hardlink" or path in self.made:
                self.link(entry["link_target"] if kind == "hardlink" else path, name, path)
            else:
                self.make_single(entry, name, path)
        except (OSError, Damage, KeyError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            if kind in SPECIAL:
                self.unset.setdefault(f"{kind} not made ({error})", []).append(path)
            else:
                self.repository.damaged.append(f"{shown(path)}: not restored: {error}")
        return []

    def link(self, group: bytes, name: bytes, path: bytes) -> None:
        """A member of a group of hard links: a link to what was made first of it."""
        if group not in self.made:
            first = self.find(group)  # a path of this tree, so that no link of it is on the way
            if not first or first.get("type", "file") in ("dir", "hardlink"):
                raise Damage("its hard link leads nowhere")
            self.made[group] = group
            if not os.path.lexists(os.path.join(self.place, group)):
                self.made[group] = path
                self.make_single(first, name, path)
                return
        try:
            os.link(os.path.join(self.place, self.made[group]), name, follow_symlinks=False)
        except OSError as error:
            self.unset.setdefault(f"hard link made as a copy ({error.strerror})", []).append(path)
            self.make_single(self.find(group), name, path)

    def make_single(self, entry: dict[str, Any], name: bytes, path: bytes) -> None:
        """Make what is not a directory."""
        kind = entry.get("type", "file")
        if kind == "file" and entry.get("digest") is None:
            self.unset.setdefault("not made, its content was never captured", []).append(path)
            return
        if kind == "file":
            name = self.make_file(entry, name, path)
        elif kind == "symlink":
            os.symlink(entry["link_target"], name)
        else:
            os.mknod(name, SPECIAL[kind] | 0o600, os.makedev(*(entry.get("rdev") or (0, 0))))
        self.set_attributes(entry, name, path)

    def make_file(self, entry: dict[str, Any], name: bytes, path: bytes) -> bytes:
        """Write a file. If some of it is lost it gets another name, which is returned, and zeros in their place."""
        if entry.get("torn"):
            self.unset.setdefault("kept as it was read while it changed", []).append(path)
        lost: list[str] = []
        with open(name, "xb", opener=lambda where, flags: os.open(where, flags, 0o600)) as file:
            try:
                self.write(entry, file, lost)
            except Damage as damage:
                lost.append(str(damage))
        if lost:
            whole, name = name, name[:230] + b".lastro-damaged"
            if os.path.lexists(name):
                os.unlink(whole)
                raise Damage("; ".join(lost))
            os.rename(whole, name)
            self.repository.damaged.append(f"{shown(path)}: kept as {shown(name)}: {'; '.join(lost)}")
        return name

    def write(self, entry: dict[str, Any], file: Any, lost: list[str]) -> None:
        """Write a file's data around its holes, and verify the whole."""
        size, content, at = entry.get("size", 0), entry.get("content"), 0
        holes = [*entry.get("holes", []), [size, 0]]
        room = size - sum(length for _, length in holes)
        items = [(blake3(entry["digest"], self.repository.chunk_key), room)] if room else []
        items, depth = (content["items"], content.get("depth", 0)) if content else (items, 0)
        digest: Any = None if BLAKE3 is None else BLAKE3.blake3()
        for length, data in itertools.chain(self.repository.pieces(items, depth, lost), [(0, b"")]):
            done = 0
            while done < length or (at == holes[0][0] and holes[0][1]):
                start, hole = holes[0]
                if at == start and not hole:
                    raise Damage("it has more data than its size says")
                part = hole if at == start else min(length - done, start - at)
                if at == start:
                    del holes[0]
                    for rest in range(part if digest else 0, 0, -65536):
                        digest.update(bytes(min(rest, 65536)))
                else:
                    if data is not None:
                        file.seek(at)
                        file.write(data[done : done + part])
                        if digest:
                            digest.update(data[done : done + part])
                    done += part
                at += part
        file.truncate(size)
        if not lost and (at != size or (digest and digest.digest() != entry["digest"])):
            raise Damage("its content has another digest than it should")

    def set_attributes(self, entry: dict[str, Any], name: bytes, path: bytes) -> None:
        """Owner, attributes, mode and times; remembers what is not permitted."""

        def attempt(what: str, function: str, *arguments: Any, **named: Any) -> bool:
            try:
                getattr(os, function)(name, *arguments, **named)
            except (OSError, AttributeError, NotImplementedError) as error:
                why = getattr(error, "strerror", None) or "not on this system"
                self.unset.setdefault(f"{what} not set ({why})", []).append(path)
                return False
            return True

        mode, status, owner = entry.get("mode", 0), os.lstat(name), (entry.get("uid", 0), entry.get("gid", 0))
        if owner != (status.st_uid, status.st_gid) and not attempt("owner", "lchown", *owner):
            mode &= 0o1777  # set-uid would give another user's rights than it did
        for key, value in entry.get("xattrs", []):
            attempt(f"attribute {shown(key)}", "setxattr", key, value, follow_symlinks=False)
        if entry.get("type") != "symlink":
            attempt("mode", "chmod", mode)
        if entry.get("flags"):
            self.unset.setdefault("inode flags not set (never done here)", []).append(path)
        attempt("times", "utime", ns=(entry.get("mtime_ns", 0),) * 2, follow_symlinks=False)


# The command line -----------------------------------------------------------------------------------------------------


def snapshots(repository: Repository) -> list[dict[str, Any]]:
    """The snapshot records in order, each with the name of its server."""
    names: dict[str, str] = {}
    found: list[dict[str, Any]] = []
    for _, record in sorted(repository.records.items()):
        if record["kind"] == "server":
            names[record["server"]] = record["body"]["name"]
        if record["kind"] == "snapshot":
            found.append(record)
    return [{**each, "name": names.get(each["server"], each["server"])} for each in found]


def show(repository: Repository) -> None:
    """``list``: number, time, server, root, files."""
    for each in snapshots(repository):
        when = datetime.datetime.fromtimestamp(each["time_ns"] // 10**9, datetime.timezone.utc)
        root, files = shown(each["target"]["path"]), each["body"]["statistics"].get("files", 0)
        view = ["(run)"] if each["target"]["kind"] == "run" else []
        print(each["number"], f"{when:%Y-%m-%dT%H:%M:%SZ}", each["name"], root, files, *view)


def restore(repository: Repository, words: list[str], unset: dict[str, list[bytes]]) -> None:
    """``restore [SNAPSHOT] DIRECTORY [PATH]``."""
    number = int(words.pop(0)) if len(words) > 1 and words[0].isdigit() else 0
    directory, asked = os.fsencode(os.path.abspath(words[0])), os.fsencode("".join(words[1:])).rstrip(b"/")
    if os.path.lexists(directory):
        raise Stop(2, f"It exists, nothing is overwritten / Já existe, nada é sobrescrito: {words[0]}")
    # What a run made in its own view never was there; it is restored when its number is given.
    every = [each for each in snapshots(repository) if each["target"]["kind"] != "run"]
    wanted = [each for each in snapshots(repository) if each["number"] == number] if number else every
    restored = 0
    newest = {(each["server"], each["target"]["kind"], each["target"]["path"]): each for each in wanted}
    for _, record in sorted(newest.items()):
        root, path, place = record["target"]["path"].rstrip(b"/"), asked, directory
        if asked.startswith(b"/"):
            if not (asked + b"/").startswith(root + b"/"):
                continue
            path = asked[len(root) + 1 :]
        if not number:
            below = os.fsencode(record["name"]).replace(b"/", b"_") + b"/" + root
            place = directory + os.path.normpath(b"/" + below)
            if os.path.lexists(place):  # a root within a root
                place = directory + b"/snapshot-%d" % record["number"]
        path = b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))
        tree = Tree(repository, unpack(record["body"]["root"]), unset)
        try:
            if tree.find(path):
                tree.restore(place, path)
                print(f"snapshot {record['number']} > {shown(place)}")
                restored += 1
        except Damage as damage:
            repository.damaged.append(f"snapshot {record['number']}: not restored: {damage}")
    if not restored and not repository.damaged:
        raise Stop(2, "No such snapshot or path / Não há tal snapshot ou caminho")


def main(words: list[str]) -> int:
    """Returns the exit status."""
    key_file, path = "", os.path.dirname(os.path.abspath(__file__))
    if "--key-file" in words[:-1]:
        at = words.index("--key-file")
        _, key_file = words[at : at + 2]
        del words[at : at + 2]
    if words and words[0] not in ("list", "restore"):
        path = words.pop(0)
    if words != ["list"] and not (words[:1] == ["restore"] and 2 <= len(words) <= 4):
        print(__doc__)
        return 2
    if ZSTD is None:
        raise Stop(2, "pip install backports.zstd (or / ou zstandard)")
    if BLAKE3 is None:
        print("No module 'blake3': authenticated encryption alone vouches for the bytes.", file=sys.stderr)
    if key_file:
        kind, secret = "key_file", file_secret(key_file)
    else:
        typed = os.environ.get("LASTRO_RECOVERY_KEY") or input("Recovery key / Chave de recuperação: ")
        kind, secret = "recovery", recovery_secret(typed)
    damaged: list[str] = []
    unset: dict[str, list[bytes]] = {}
    repository = Repository(path, kind, secret, damaged)
    if words[0] == "list":
        show(repository)
    else:
        restore(repository, words[1:], unset)
    for what, paths in unset.items():
        more = f" and {len(paths) - 5} more" if len(paths) > 5 else ""
        print(f"{what}: {', '.join(map(shown, paths[:5]))}{more}", file=sys.stderr)
    for what in damaged:
        print(f"DAMAGED {what}", file=sys.stderr)
    return 6 if damaged else 3 if unset else 0


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        sys.exit(main(sys.argv[1:]))
    except Stop as stop:
        print(stop.args[1], file=sys.stderr)
        sys.exit(stop.args[0])
    except (Damage, EOFError, OSError) as error:
        print(f"Stopped / Parou: {error}", file=sys.stderr)
        sys.exit(6 if isinstance(error, Damage) else 1)
