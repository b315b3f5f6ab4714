"""Reads a repository knowing ``docs/format.md`` and nothing of Lastro: the proof that the page is enough to get everything back.

Reads whole repositories from a directory into memory; raises ``AssertionError`` for whatever is not as the page says.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import msgpack

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
KINDS = {"data": 1, "meta": 2, "journal": 3, "index": 4, "log": 5}


def hkdf(secret, salt, info, length=32):
    return HKDF(SHA256(), length, salt, info).derive(secret)


def checked(raw):
    fields = json.loads(raw)
    check = fields.pop("check")
    text = json.dumps(fields, sort_keys=True, indent=1).encode() + b"\n"
    assert blake3(text).hexdigest() == check
    return fields


def secret_of_key_file(text):
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["lastro-key-0"]:
            assert blake3(" ".join(words[:3]).encode()).hexdigest()[:16] == words[3]
            return bytes.fromhex(words[2])
    raise AssertionError("no key file")


def secret_of_recovery_key(text):
    values = [ALPHABET.index(letter) for letter in text.strip().upper() if letter != "-"]
    groups = [values[start : start + 5] for start in range(0, 70, 5)]
    for index, (a, b, c, d, check) in enumerate(groups):
        assert check == (index + 1 + a + 3 * b + 5 * c + 7 * d) % 32
    bits = "".join(f"{value:05b}" for group in groups[:13] for value in group[:4])
    assert bits[256:] == "0000"
    secret = int(bits[:256], 2).to_bytes(32, "big")
    summary = int.from_bytes(blake3(b"lastro-recovery-0" + secret).digest()[:3], "big") & 0xFFFFF
    assert summary == int("".join(f"{value:05b}" for value in groups[13][:4]), 2)
    return secret


class Reader:
    """``chunks``: id → bytes; ``records``: decoded, in order."""

    def __init__(self, place, secret, kind):
        self.place = Path(place)
        form = checked((self.place / "format").read_bytes())
        assert form["format"] == "0-dev"
        assert form["read_features"] == []
        self.id = form["id"]
        self.masters = self.unlock(secret, kind)
        salt = bytes.fromhex(self.id)
        self.chunk_key = hkdf(self.masters[1], salt, b"lastro-chunk-id-0")
        self.seed = int.from_bytes(hkdf(self.masters[1], salt, b"lastro-chunker-seed-0", 8), "big") >> 1
        self.chunks = {}
        stored = {}
        self.read_journal(stored)
        for name in self.names("log"):
            self.note(stored, msgpack.decode(self.only(self.frames(name))))
        for folder in ("data", "meta"):
            for name in self.names(folder):
                self.read_pack(name)
        self.read_index()
        self.records = self.chain(stored)

    def names(self, folder):
        files = (path for path in (self.place / folder).rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.place)) for path in files)

    def unlock(self, secret, kind):
        for name in self.names("keys"):
            slot = checked((self.place / name).read_bytes())
            if slot["kind"] == kind:
                key = hkdf(secret, bytes.fromhex(slot["salt"]), b"lastro-slot-0")
                data = f"lastro-slot-0 {self.id} {slot['slot']} {kind}".encode()
                return dict(
                    msgpack.decode(AESGCM(key).decrypt(bytes(12), bytes.fromhex(slot["wrapped"]), data))
                )
        raise AssertionError("no such slot")

    def open(self, name):
        """The object's bytes, and a function that opens the frame at an offset: ``(content, end)``."""
        raw = (self.place / name).read_bytes()
        header, kind = raw[:48], KINDS[name.split("/")[0]]
        assert header[:9] == b"LASTRO-0" + bytes([kind])
        assert header[10:12] == b"\0\0"
        master = self.masters[int.from_bytes(header[12:16], "big")]
        key = hkdf(master, header[16:], b"lastro-object-0" + bytes([kind]))
        cipher = {1: AESGCM, 2: ChaCha20Poly1305}[header[9]](key)

        def frame(number, offset, role=0):
            size = raw[offset : offset + 4]
            end = offset + 16 + int.from_bytes(size, "big")
            assert (
                raw[offset + 4 : offset + 16]
                == blake3(header + number.to_bytes(8, "big") + size).digest()[:12]
            )
            assert raw[end : end + -end % 16] == b"\xff" * (-end % 16)
            plain = cipher.decrypt(number.to_bytes(12, "big"), raw[offset + 16 : end], header + bytes([role]))
            content = plain[5:] if plain[0] == 0 else zstd.decompress(plain[5:])
            assert plain[0] in {0, 1}
            assert len(content) == int.from_bytes(plain[1:5], "big")
            return content, end + -end % 16

        return raw, frame

    def frames(self, name, stop=None):
        raw, frame = self.open(name)
        offset, number, found = 48, 0, []
        while offset < (len(raw) if stop is None else stop):
            content, offset = frame(number, offset)
            found.append(content)
            number += 1
        return found

    @staticmethod
    def only(items):
        assert len(items) == 1
        return items[0]

    def read_pack(self, name):
        raw, frame = self.open(name)
        assert name.split("/")[2] == hashlib.sha256(raw).hexdigest()
        assert name.split("/")[1] == name.split("/")[2][:2]
        offset, count, mark = int.from_bytes(raw[-16:-8], "big"), int.from_bytes(raw[-8:-4], "big"), raw[-4:]
        assert mark == b"PEND"
        content, end = frame(count, offset, role=1)
        assert end == len(raw) - 16
        directory = msgpack.decode(content)
        assert len(directory) == count
        for number, (place, size, chunks) in enumerate(directory):
            content, end = frame(number, place)
            assert end == place + size
            self.take(content, chunks)

    def read_index(self):
        for name in self.names("index"):
            assert name == "index/" + hashlib.sha256((self.place / name).read_bytes()).hexdigest()
            for content in self.frames(name):
                folder, digest, size, frames = msgpack.decode(content)
                pack = self.place / folder / digest.hex()[:2] / digest.hex()
                assert pack.stat().st_size == size
                assert all(chunk in self.chunks for _, _, chunks in frames for chunk, _ in chunks)

    def take(self, content, chunks):
        for chunk, length in chunks:
            data, content = content[:length], content[length:]
            assert blake3(blake3(data).digest(), key=self.chunk_key).digest() == chunk
            self.chunks[chunk] = data
        assert content == b""

    def read_journal(self, stored):
        names = self.names("journal")
        stated = dict(msgpack.decode(self.frames(names[-1])[0])["segments"])
        assert set(stated) == set(names[:-1])
        for name in names:
            for content in self.frames(name, stated.get(name))[1:]:
                end = 4 + int.from_bytes(content[:4], "big")
                head = msgpack.decode(content[4:end])
                self.take(content[end:], head["chunks"])
                self.note(stored, head["records"])

    @staticmethod
    def note(stored, records):
        for raw, signature in records:
            assert stored.setdefault(msgpack.decode(raw)["seq"], (raw, signature)) == (raw, signature)

    def chain(self, stored):
        signing = checked((self.place / "keys" / "signing").read_bytes())
        public = bytes.fromhex(signing["public"])
        key = hkdf(self.masters[1], bytes.fromhex(signing["salt"]), b"lastro-signing-0")
        private = AESGCM(key).decrypt(bytes(12), bytes.fromhex(signing["wrapped"]), public)
        assert Ed25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw() == public
        records, previous = [], bytes(32)
        for seq in range(len(stored)):
            raw, signature = stored[seq]
            record = msgpack.decode(raw)
            assert (record["seq"], record["previous"]) == (seq, previous)
            previous = blake3(raw).digest()
            Ed25519PublicKey.from_public_bytes(public).verify(signature, b"lastro-record-0" + previous)
            records.append(record)
        assert records[0]["body"] == {"public_key": public, "repository": self.id}
        return records

    # what a snapshot holds

    def snapshots(self):
        """The root entries of all snapshots, oldest first."""
        return [
            msgpack.decode(record["body"]["root"]) for record in self.records if record["kind"] == "snapshot"
        ]

    def tree(self, entry, path=b""):
        """Everything at and below an entry: ``{path: entry}``."""
        found = {path: entry}
        if entry.get("type") == "dir" and "subtree" in entry:
            for child in self.directory(entry["subtree"]):
                found |= self.tree(child, path + b"/" + child["name"] if path else child["name"])
        return found

    def directory(self, node):
        level, items = msgpack.decode(self.chunks[node])
        if level == 0:
            return items
        return [entry for _, below in items for entry in self.directory(below)]

    def content(self, entry):
        """The logical content of a file; ``None`` when it was never read."""
        if "digest" not in entry:
            return None
        holes, size = entry.get("holes", []), entry.get("size", 0)
        data = b"".join(self.data(entry, size - sum(length for _, length in holes)))
        for offset, length in holes:
            data = data[:offset] + bytes(length) + data[offset:]
        assert len(data) == size
        assert blake3(data).digest() == entry["digest"]
        return data

    def data(self, entry, size):
        if "content" in entry:
            return self.below(entry["content"].get("depth", 0), entry["content"]["items"])
        return [self.chunks[blake3(entry["digest"], key=self.chunk_key).digest()]] if size else []

    def below(self, depth, items):
        found = []
        for chunk, length in items:
            if depth == 0:
                assert len(self.chunks[chunk]) == length
                found.append(self.chunks[chunk])
            else:
                level, inner = msgpack.decode(self.chunks[chunk])
                assert level == depth - 1
                found += self.below(level, inner)
        return found
