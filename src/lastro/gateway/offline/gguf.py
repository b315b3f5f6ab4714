"""Reads the header of a GGUF file (the weights of a model): what it is, and whether the file holds all that its header promises.

The layout, all integers little-endian: ``GGUF``, version (u32, 2 or 3), number of tensors (u64), number of facts (u64); each fact a name
(u64 length, bytes), a type (u32) and a value; each tensor a name, its number of dimensions (u32), the dimensions (u64 each), a type (u32)
and an offset (u64) into the data, which begins behind the header at the next multiple of ``general.alignment`` (32 unless said). What
always holds: whatever the bytes, reading ends within published limits and raises only what it says; nothing of the weights is read. A
file whose tensors do not end within it was cut off and is refused, which the engine itself would answer by dying.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final

from msgspec import Struct

from lastro.domain.paths import to_bytes
from lastro.errors import DamagedError, FormatError, NotFoundError
from lastro.messages import N_

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
LARGEST_HEADER: Final = 256 * 1024 * 1024
"""Bytes that are read at most; the largest known vocabularies take some ten million."""
MOST_FACTS: Final = 65_536
MOST_TENSORS: Final = 65_536
MOST_MEMBERS: Final = 4_000_000
"""Of one list."""
LONGEST_NAME: Final = 65_535
MOST_DIMENSIONS: Final = 4

_STRING: Final = 8
_LIST: Final = 9
_SCALARS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""GGUF's types by number, as ``struct`` writes them."""
_SMALL_LIST: Final = 1024
"""Longer lists (vocabularies) are walked over, not kept."""

# Number of a tensor type -> (weights in a block, bytes of a block). From the published format; types that are not here are not measured.
_BLOCKS: Final = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17),
}  # fmt: skip

NOT_LANGUAGE: Final = frozenset(
    {
        "bert", "clip", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "modern-bert", "neo-bert",
        "nomic-bert", "nomic-bert-moe", "t5encoder", "wavtokenizer-dec", "whisper",
    }
)  # fmt: skip
"""Architectures that write no text: embeddings, pictures, sound."""


class GgufFacts(Struct, frozen=True, kw_only=True):
    """What a header says. 0 and ``""`` mean that it does not."""

    architecture: str
    name: str = ""
    licence: str = ""
    context: int = 0
    """Tokens that it was trained for."""
    parameters: int = 0
    """Weights, counted over the tensors."""
    cache_bytes: int = 0
    """Of the engine's memory for each token of context (keys and values of 16 bits)."""
    chat_template: str = ""
    size: int = 0
    """Of the whole file."""


def read_gguf(path: str) -> GgufFacts:
    """The facts of the model in the file ``path``.

    Raises:
        NotFoundError: there is no such file.
        FormatError: it is no GGUF file, of another version, or of a model that writes no text.
        DamagedError: it is one, but cut off or its header is nonsense.
        OSError: it cannot be read.
    """
    try:
        descriptor = os.open(to_bytes(path), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFoundError(N_("No such file: {path}"), path=path) from error
    try:
        size = os.fstat(descriptor).st_size
        if os.pread(descriptor, 4, 0) != MAGIC or size < 24:
            raise _no_gguf(path)
        with mmap.mmap(descriptor, min(size, LARGEST_HEADER), access=mmap.ACCESS_READ) as data:
            return _Reader(data, path, size).read()
    finally:
        os.close(descriptor)


class _Reader:
    """One pass over a header."""

    def __init__(self, data: mmap.mmap, path: str, size: int) -> None:
        self._data = data
        self._path = path
        self._size = size
        self._at = 4
        self._parameters = 0

    def read(self) -> GgufFacts:
        version = self._number("I")
        if version not in VERSIONS:
            raise FormatError(
                N_("{path} is a GGUF file of version {version}, which is not understood."),
                hint=N_("Fetch the model in a current version of the format (3)."),
                path=self._path,
                version=version,
            )
        tensors, count = self._number("Q"), self._number("Q")
        if tensors > MOST_TENSORS or count > MOST_FACTS:
            raise self._damaged()
        facts: dict[str, object] = {}
        for _ in range(count):
            name = self._text(LONGEST_NAME)
            facts[name] = self._value(self._number("I"))
        self._check_kind(facts)
        self._check_tensors(tensors, _positive(facts.get("general.alignment")) or 32)
        return self._facts(facts)

    def _facts(self, facts: dict[str, object]) -> GgufFacts:
        architecture = _string(facts.get("general.architecture"))
        return GgufFacts(
            architecture=architecture,
            name=_string(facts.get("general.name")),
            licence=_string(facts.get("general.license")),
            context=_positive(facts.get(f"{architecture}.context_length")),
            parameters=self._parameters,
            cache_bytes=_cache_bytes(facts, architecture),
            chat_template=_string(facts.get("tokenizer.chat_template")),
            size=self._size,
        )

    def _check_kind(self, facts: dict[str, object]) -> None:
        architecture = _string(facts.get("general.architecture"))
        if not architecture:
            raise self._damaged()
        if _string(facts.get("general.type")) not in {"", "model"} or architecture in NOT_LANGUAGE:
            raise FormatError(
                N_("{path} holds no language model ({architecture})."),
                hint=N_("Take the file of the model itself, not of its projector, adapter or embedding."),
                path=self._path,
                architecture=architecture,
            )
        if _positive(facts.get("split.count")) > 1:
            raise FormatError(
                N_("{path} is one of several files of a model."),
                hint=N_("Join them first, with llama-gguf-split --merge."),
                path=self._path,
            )
        if not _string(facts.get("tokenizer.ggml.model")):
            raise FormatError(
                N_("{path} holds no tokenizer."),
                hint=N_("Fetch a complete GGUF file of the model."),
                path=self._path,
            )

    def _check_tensors(self, count: int, alignment: int) -> None:
        end = 0
        for _ in range(count):
            self._text(LONGEST_NAME)
            dimensions = self._number("I")
            if dimensions > MOST_DIMENSIONS:
                raise self._damaged()
            weights = 1
            for _ in range(dimensions):
                weights *= self._number("Q")
            kind, offset = self._number("I"), self._number("Q")
            block, block_bytes = _BLOCKS.get(kind, (1, 0))
            end = max(end, offset + -(-weights // block) * block_bytes)
            self._parameters += weights
        if not count:
            raise self._damaged()
        begin = -(-self._at // alignment) * alignment
        if begin + end > self._size:
            raise DamagedError(
                N_("{path} is cut off: it has {size} bytes and needs {needed}."),
                hint=N_("Fetch it again."),
                path=self._path,
                size=self._size,
                needed=begin + end,
            )

    def _value(self, kind: int) -> object:
        if kind == _STRING:
            return self._text(LARGEST_HEADER)
        if kind == _LIST:
            return self._list(self._number("I"), self._number("Q"))
        if kind not in _SCALARS:
            raise self._damaged()
        return self._scalar(_SCALARS[kind])

    def _list(self, kind: int, count: int) -> object:
        if count > MOST_MEMBERS:
            raise self._damaged()
        if kind == _STRING:
            for _ in range(count):
                self._skip(self._number("Q"))
            return None
        if kind not in _SCALARS:  # a list of lists as well: nobody writes one, and it would have no bound
            raise self._damaged()
        letter = _SCALARS[kind]
        if count > _SMALL_LIST:
            self._skip(count * struct.calcsize(f"<{letter}"))
            return None
        return [self._scalar(letter) for _ in range(count)]

    def _number(self, letter: str) -> int:
        return int(self._scalar(letter))

    def _scalar(self, letter: str) -> float:
        begin = self._at
        self._skip(struct.calcsize(f"<{letter}"))
        value: float = struct.unpack_from(f"<{letter}", self._data, begin)[0]
        return value

    def _text(self, limit: int) -> str:
        length = self._number("Q")
        if length > limit:
            raise self._damaged()
        begin = self._at
        self._skip(length)
        return self._data[begin : self._at].decode("utf-8", "replace")

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise self._damaged()

    def _damaged(self) -> DamagedError:
        return DamagedError(
            N_("{path} begins like a GGUF file, but its header is cut off or damaged."),
            hint=N_("Fetch it again."),
            path=self._path,
        )


def _cache_bytes(facts: dict[str, object], architecture: str) -> int:
    """Bytes of keys and values (16 bits each) for one token; 0 where the header does not say enough."""

    def fact(name: str) -> object:
        return facts.get(f"{architecture}.{name}")

    layers, heads = _positive(fact("block_count")), fact("attention.head_count")
    if isinstance(heads, list):
        heads = max((_positive(each) for each in heads), default=0)
    width = _positive(fact("embedding_length")) // (_positive(heads) or 1)
    key = _positive(fact("attention.key_length")) or width
    value = _positive(fact("attention.value_length")) or width
    shared = fact("attention.head_count_kv")
    if isinstance(shared, list):
        return sum(_positive(each) for each in shared) * (key + value) * 2
    return layers * (_positive(shared) or _positive(heads)) * (key + value) * 2


def _positive(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _no_gguf(path: str) -> FormatError:
    return FormatError(
        N_("{path} is no GGUF file."),
        hint=N_("Give the file of a model in the GGUF format; its name usually ends in .gguf."),
        path=path,
    )
