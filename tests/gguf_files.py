"""Small GGUF files, right and wrong, for tests that load none: the header is real, the weights are zeros."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

LIST = 9
STRING = 8
UNSIGNED = 4

FACTS: Mapping[str, object] = {
    "general.architecture": "llama",
    "general.name": "A test",
    "general.license": "apache-2.0",
    "llama.context_length": 4096,
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": ["a", "b", "c"],
    "tokenizer.chat_template": "{{ messages }}",
}
TENSORS = (("weights", (32, 4), 0),)


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value_of(value):
    if isinstance(value, str):
        return struct.pack("<I", STRING) + text(value)
    if isinstance(value, list):
        kind = STRING if value and isinstance(value[0], str) else UNSIGNED
        members = [text(each) if kind == STRING else struct.pack("<I", each) for each in value]
        return struct.pack("<IIQ", LIST, kind, len(value)) + b"".join(members)
    return struct.pack("<II", UNSIGNED, value)


def gguf_bytes(
    changes: Mapping[str, object] | None = None,
    *,
    version: int = 3,
    tensors: Sequence[tuple[str, tuple[int, ...], int]] = TENSORS,
    data: int = 512,
) -> bytes:
    """A whole file. ``changes`` replaces facts; ``None`` removes one. Of ``tensors``, each is (name, dimensions, type) at offset 0."""
    facts = {name: value for name, value in {**FACTS, **(changes or {})}.items() if value is not None}
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(facts))
    for name, value in facts.items():
        head += text(name) + value_of(value)
    for name, dimensions, kind in tensors:
        head += text(name) + struct.pack("<I", len(dimensions))
        head += b"".join(struct.pack("<Q", each) for each in dimensions) + struct.pack("<IQ", kind, 0)
    head += bytes(-len(head) % 32)
    return head + bytes(data)
