"""Writes the golden files of the dialects anew: ``python -m tests.conformance.dialect_golden``.

Read every changed file against the provider's own reference before it is committed; ``as_providers_send`` is written by hand and stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from lastro.gateway.dialects.codec import codec_of
from lastro.gateway.dialects.neutral import Conversation, Dialect, Failed
from tests.conformance import dialect_cases as cases

FOLDER = Path(__file__).parent.parent / "golden" / "dialects"


def request_bytes(dialect: Dialect, conversation: Conversation) -> bytes:
    """The request in a dialect."""
    return codec_of(dialect).encode_request(conversation)[0]


def answer_bytes(dialect: Dialect, happenings) -> bytes:
    """The whole answer in a dialect."""
    return codec_of(dialect).encode_answer(
        happenings, id=cases.ANSWER_ID, model=cases.MODEL, created_s=cases.CREATED_S
    )


def stream_bytes(dialect: Dialect, happenings) -> bytes:
    """The streamed answer in a dialect."""
    encoder = codec_of(dialect).encoder(id=cases.ANSWER_ID, model=cases.MODEL, created_s=cases.CREATED_S)
    return b"".join(encoder.encode(happening) for happening in happenings) + encoder.finish()


def error_bytes(dialect: Dialect, failed: Failed) -> bytes:
    """Status, headers and body of an error in a dialect, as one JSON object."""
    status, headers, body = codec_of(dialect).encode_error(failed)
    return msgspec.json.encode({"status": status, "headers": headers, "body": msgspec.Raw(body)})


def heard_stream(dialect: Dialect, data: bytes):
    """The events of a streamed answer, whose bytes must come back as they were."""
    decoder = codec_of(dialect).decoder()
    frames = decoder.feed(data) + decoder.finish()
    assert b"".join(frame.raw for frame in frames) == data
    return [happening for frame in frames for happening in frame.happenings]


def stream_path(case: str, source: Dialect, target: Dialect) -> Path:
    """The file that a stream of ``source`` must become in ``target``."""
    if (source, target) == cases.OVERLAPPING and case in {"parallel_tool_calls", "as_providers_send"}:
        return FOLDER / case / f"{source}_to_{target}.stream.sse"
    return FOLDER / case / f"{'to_' if case == 'as_providers_send' else ''}{target}.stream.sse"


def golden() -> Iterator[tuple[Path, bytes]]:
    """Every file and what it holds."""
    requests = dict(cases.REQUESTS) | {name: one for name, (one, _) in cases.UNSAID.items()}
    for dialect in Dialect:
        for name, conversation in requests.items():
            yield FOLDER / name / f"{dialect}.request.json", request_bytes(dialect, conversation)
        for name, happenings in cases.ANSWERS.items():
            yield FOLDER / name / f"{dialect}.answer.json", answer_bytes(dialect, happenings)
            yield FOLDER / name / f"{dialect}.stream.sse", stream_bytes(dialect, happenings)
        for name, failed in cases.ERRORS.items():
            yield FOLDER / name / f"{dialect}.error.json", error_bytes(dialect, failed)
            yield FOLDER / name / f"{dialect}.stream.sse", stream_bytes(dialect, [failed])
        wire = cases.AS_PROVIDERS_SEND
        yield FOLDER / "as_providers_send" / f"to_{dialect}.request.json", request_bytes(dialect, wire.asked)
        yield FOLDER / "as_providers_send" / f"to_{dialect}.answer.json", answer_bytes(dialect, wire.answered)
        yield FOLDER / "as_providers_send" / f"to_{dialect}.stream.sse", stream_bytes(dialect, wire.answered)
    source, target = cases.OVERLAPPING
    for name in ("parallel_tool_calls", "as_providers_send"):
        path = stream_path(name, source, target)
        yield (
            path,
            stream_bytes(target, heard_stream(source, (FOLDER / name / f"{source}.stream.sse").read_bytes())),
        )


if __name__ == "__main__":
    for path, content in golden():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
