"""Hypothesis strategies for what dialects say: conversations, answers as lists of events, and pieces of bytes.

What always holds of a drawn conversation: turns alternate and begin with the user; every call of a tool is answered at the head of the
next user turn; neighbouring texts of one turn are one text. So every dialect that has words for its parts gives it back as it was.
What always holds of a drawn answer: it is sound (``Began``, blocks that each end once, ``Used`` before ``Ended``).
"""

from __future__ import annotations

import msgspec
from hypothesis import strategies as st
from msgspec import Struct

from lastro.gateway.dialects.neutral import (
    Began,
    BlockEnded,
    Conversation,
    Ended,
    ErrorKind,
    Failed,
    Image,
    OutputFormat,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    Tool,
    ToolCall,
    ToolCallBegan,
    ToolCallDelta,
    ToolChoice,
    ToolResult,
    Turn,
    Used,
)

words = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ['"model":"x"', "\\", "\r\n\r\n", "data: [DONE]\n\n", "não é 😀", "\u2028", "{}", "null"]
    ),
)
"""Any text, the ones that could be taken for framing among them."""
some_words = words.filter(bool)
names = st.sampled_from(["read_file", "bash", "edit", "apply_patch", "get_weather"])
call_ids = st.integers(0, 10_000).map("call_{}".format)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(1 << 53), 1 << 53), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=3)),
    max_leaves=6,
)
json_objects = st.dictionaries(words, json_values, max_size=3).map(
    lambda value: msgspec.json.encode(value).decode()
)
"""JSON text of an object, without white space."""
schemas = st.dictionaries(st.sampled_from(["path", "old", "new", "city"]), st.just({"type": "string"})).map(
    lambda properties: msgspec.json.encode({"type": "object", "properties": properties}).decode()
)
images = st.one_of(
    st.builds(Image, media_type=st.sampled_from(["image/png", "image/jpeg"]), data=st.just("iVBORw0KGgo=")),
    st.builds(Image, url=st.sampled_from(["https://example.org/a.png", "https://example.org/b?c=d"])),
)
tools = st.builds(Tool, name=names, description=words, parameters=schemas)
tool_lists = st.lists(tools, max_size=3, unique_by=lambda tool: tool.name).map(tuple)
texts = st.builds(Text, text=some_words)


def _alone(parts):
    """Neighbouring texts are one."""
    kept = []
    for part in parts:
        if kept and isinstance(part, Text) and isinstance(kept[-1], Text):
            continue
        kept.append(part)
    return tuple(kept)


@st.composite
def turns(draw, *, with_images=True, with_thinking=False, with_failed=False):
    """Alternating turns, the user's first and last."""
    drawn = []
    calls = []
    user_parts = st.one_of(texts, images) if with_images else texts
    for _ in range(draw(st.integers(1, 3))):
        results = [
            ToolResult(
                id=call.id,
                content=draw(st.one_of(st.just(()), st.tuples(texts))),
                failed=draw(st.booleans()) if with_failed else False,
            )
            for call in calls
        ]
        said = _alone(draw(st.lists(user_parts, min_size=0 if results else 1, max_size=3)))
        drawn.append(Turn(role="user", parts=(*results, *said)))
        ids = draw(st.lists(call_ids, max_size=2, unique=True))
        calls = [ToolCall(id=id_, name=draw(names), arguments=draw(json_objects)) for id_ in ids]
        thought = draw(st.lists(st.builds(Thinking, text=some_words), max_size=1)) if with_thinking else []
        spoken = draw(st.lists(texts, min_size=0 if calls else 1, max_size=1))
        drawn.append(Turn(role="assistant", parts=(*thought, *spoken, *calls)))
    if calls:
        drawn.append(Turn(role="user", parts=tuple(ToolResult(id=call.id) for call in calls)))
    else:
        drawn.append(Turn(role="user", parts=(draw(texts),)))
    return tuple(drawn)


@st.composite
def conversations(draw, *, with_images=True, with_thinking=False, with_failed=False):
    """One request, with every setting that the neutral words have; a dialect's test takes out what it cannot say."""
    offered = draw(tool_lists)
    choices = [None, ToolChoice(), ToolChoice(mode="none"), ToolChoice(mode="any")]
    choices += [ToolChoice(mode="tool", name=tool.name) for tool in offered]
    shares = st.sampled_from([None, 0.0, 0.25, 1.0])
    return Conversation(
        model=draw(st.sampled_from(["gpt-9", "anthropic/claude-x", "m:free", "modelo-ç"])),
        system=tuple(draw(st.lists(texts, max_size=1))),
        turns=draw(turns(with_images=with_images, with_thinking=with_thinking, with_failed=with_failed)),
        tools=offered,
        tool_choice=draw(st.sampled_from(choices)) if offered else None,
        parallel_tool_calls=draw(st.sampled_from([None, True, False])) if offered else None,
        max_tokens=draw(st.one_of(st.none(), st.integers(1, 100_000))),
        temperature=draw(shares),
        top_p=draw(shares),
        top_k=draw(st.sampled_from([None, 1, 40])),
        stop=tuple(draw(st.lists(some_words, max_size=2, unique=True))),
        seed=draw(st.sampled_from([None, 0, 7])),
        reasoning_effort=draw(st.sampled_from(["", "low", "medium", "high"])),
        output_format=draw(
            st.one_of(
                st.none(),
                st.just(OutputFormat()),
                st.builds(
                    OutputFormat,
                    name=st.just("answer"),
                    schema=schemas,
                    strict=st.sampled_from([None, True, False]),
                ),
            )
        ),
        stream=draw(st.booleans()),
    )


def _pieces(draw, text):
    """``text`` in one or more pieces, none of them empty."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(text) - 1)), max_size=2))) if len(text) > 1 else []
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def _block(draw, block, kind, call_id):
    if kind == "text":
        return [TextDelta(block=block, text=piece) for piece in _pieces(draw, draw(some_words))]
    if kind == "thinking":
        return [ThinkingDelta(block=block, text=piece) for piece in _pieces(draw, draw(some_words))]
    began = ToolCallBegan(block=block, id=call_id, name=draw(names))
    arguments = _pieces(draw, draw(json_objects))
    return [began, *(ToolCallDelta(block=block, arguments=piece) for piece in arguments)]


uses = st.builds(
    lambda fresh, output, read: Used(
        input=fresh + read, output=output, cache_read=read or None, cache_write=None, reasoning=None
    ),
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.integers(0, 100),
)


@st.composite
def answers(draw, *, with_thinking=True, overlapping=False, with_used=True, min_blocks=1):
    """A sound answer: thinking first, then text, then calls, of which several may overlap."""
    kinds = draw(st.lists(st.just("call"), max_size=3))
    kinds = (["text"] if draw(st.booleans()) or (min_blocks and not kinds) else []) + kinds
    kinds = (["thinking"] if with_thinking and draw(st.booleans()) else []) + kinds
    ids = draw(st.lists(call_ids, min_size=len(kinds), max_size=len(kinds), unique=True))
    blocks = [draw(_block(number, kind, ids[number])) for number, kind in enumerate(kinds)]
    events = [Began(id=draw(st.sampled_from(["id-1", "msg_2"])), model=draw(st.sampled_from(["m", "gpt-9"])))]
    if overlapping:
        events += _overlapped(draw, blocks, kinds)
    else:
        for number, block in enumerate(blocks):
            events += [*block, BlockEnded(block=number)]
    if with_used:
        events.append(draw(uses))
    reasons = [StopReason.TOOL_USE] if "call" in kinds else [StopReason.END, StopReason.LENGTH]
    return [*events, Ended(reason=draw(st.sampled_from(reasons)))]


def _overlapped(draw, blocks, kinds):
    """What is no call comes whole and first; calls begin in order, and their pieces mix."""
    events = []
    for number, kind in enumerate(kinds):
        if kind != "call":
            events += [*blocks[number], BlockEnded(block=number)]
    calls = [number for number, kind in enumerate(kinds) if kind == "call"]
    events += [blocks[number][0] for number in calls]
    waiting = {number: blocks[number][1:] for number in calls}
    while any(waiting.values()):
        number = draw(st.sampled_from([number for number in calls if waiting[number]]))
        events.append(waiting[number].pop(0))
    return events + [BlockEnded(block=number) for number in calls]


failures = st.builds(
    Failed, kind=st.sampled_from(ErrorKind), text=some_words, retry_after_s=st.sampled_from([None, 3.0, 60.0])
)


class Said(Struct, frozen=True, kw_only=True):
    """What an answer says when nobody cares how it was cut: the normal form that laws compare.

    ``blocks``: (kind, call id, name, text or arguments, signature) in the order in which they began; those that say nothing left out.
    """

    id: str = ""
    model: str = ""
    blocks: tuple[tuple[str, str, str, str, str], ...] = ()
    used: Used | None = None
    ended: Ended | None = None
    failed: Failed | None = None


def said(happenings):  # noqa: C901  one case for each event
    """The normal form of an answer; fails where the answer is not sound."""
    result = Said()
    blocks = {}
    open_blocks = set()
    for happening in happenings:
        match happening:
            case Began(id=id_, model=model):
                assert not blocks and not result.id
                result = msgspec.structs.replace(result, id=id_, model=model)
            case TextDelta(block=block, text=text):
                _open(blocks, open_blocks, block, ["text", "", "", "", ""])[3] += text
            case ThinkingDelta(block=block, text=text, signature=signature):
                entry = _open(blocks, open_blocks, block, ["thinking", "", "", "", ""])
                entry[3] += text
                entry[4] += signature
            case ToolCallBegan(block=block, id=id_, name=name, signature=signature):
                assert block not in blocks
                _open(blocks, open_blocks, block, ["call", id_, name, "", signature])
            case ToolCallDelta(block=block, arguments=arguments):
                assert block in open_blocks
                blocks[block][3] += arguments
            case BlockEnded(block=block):
                open_blocks.remove(block)
            case Used():
                result = msgspec.structs.replace(result, used=happening)
            case Ended():
                assert not open_blocks and result.ended is None and result.failed is None
                result = msgspec.structs.replace(result, ended=happening)
            case Failed():
                assert result.ended is None and result.failed is None
                result = msgspec.structs.replace(result, failed=happening)
    assert list(blocks) == sorted(blocks) == list(range(len(blocks))), "blocks count from 0, in order"
    kept = tuple(tuple(entry) for entry in blocks.values() if entry[0] == "call" or entry[3] or entry[4])
    return msgspec.structs.replace(result, blocks=kept)


def _open(blocks, open_blocks, block, fresh):
    if block not in blocks:
        assert not [other for other in blocks if other > block]
        blocks[block] = fresh
        open_blocks.add(block)
    assert block in open_blocks and blocks[block][0] == fresh[0]
    return blocks[block]


@st.composite
def cut(draw, data):
    """``data`` in pieces: each byte alone, all at once, or anything between."""
    if draw(st.booleans()) and len(data) < 3_000:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=8)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
