"""Scripted answers in the four dialects, whole and as a list of server-sent events, and their errors."""

from __future__ import annotations

import json
from typing import Any

from tests.upstreams.script import Says, pieces

CHAT, RESPONSES, MESSAGES, GEMINI = "chat", "responses", "messages", "gemini"


def whole(dialect: str, model: str, says: Says) -> bytes:
    return json.dumps(_WHOLE[dialect](model, says)).encode()


def events(dialect: str, model: str, says: Says, *, usage: bool = True) -> list[bytes]:
    return _STREAMS[dialect](model, says, usage=usage)


def error(dialect: str, status: int, text: str) -> bytes:
    if dialect == MESSAGES:
        kind = {429: "rate_limit_error", 529: "overloaded_error", 400: "invalid_request_error"}.get(
            status, "api_error"
        )
        return json.dumps({"type": "error", "error": {"type": kind, "message": text}}).encode()
    if dialect == GEMINI:
        kind = {429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 400: "INVALID_ARGUMENT"}.get(
            status, "INTERNAL"
        )
        return json.dumps({"error": {"code": status, "message": text, "status": kind}}).encode()
    kind = {429: "rate_limit_exceeded", 400: "invalid_request_error"}.get(status, "server_error")
    return json.dumps({"error": {"message": text, "type": kind, "param": None, "code": None}}).encode()


def error_event(dialect: str, text: str) -> bytes:
    """An error in the middle of a stream."""
    if dialect == MESSAGES:
        return _event({"type": "error", "error": {"type": "overloaded_error", "message": text}}, "error")
    if dialect == RESPONSES:
        failed = {"code": "server_error", "message": text}
        response = {"id": "resp_1", "object": "response", "status": "failed", "error": failed, "output": []}
        return _event(
            {"type": "response.failed", "sequence_number": 99, "response": response}, "response.failed"
        )
    if dialect == GEMINI:
        return _event({"error": {"code": 503, "message": text, "status": "UNAVAILABLE"}})
    return _event({"error": {"message": text, "type": "server_error", "param": None, "code": None}})


def _event(data: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(data)}\n\n".encode()


# Chat Completions -----------------------------------------------------------------------------------------------------------------------


def _chat_usage(says: Says) -> dict[str, int]:
    return {
        "prompt_tokens": says.input_tokens,
        "completion_tokens": says.output_tokens,
        "total_tokens": says.input_tokens + says.output_tokens,
    }


def _chat_whole(model: str, says: Says) -> Any:
    message: dict[str, Any] = {"role": "assistant", "content": says.text or None}
    if says.thinking:
        message["reasoning_content"] = says.thinking
    if says.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in says.calls
        ]
    reason = "tool_calls" if says.calls else "stop"
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": _chat_usage(says),
    }


def _chat_stream(model: str, says: Says, *, usage: bool) -> list[bytes]:
    def chunk(delta: Any, reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _event({**base, "choices": [choice]})

    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    result = [chunk({"role": "assistant", "content": ""})]
    if says.thinking:
        result += [chunk({"reasoning_content": piece}) for piece in pieces(says.thinking, says.piece)]
    if says.text:
        result += [chunk({"content": piece}) for piece in pieces(says.text, says.piece)]
    for index, call in enumerate(says.calls):
        function = {"name": call.name, "arguments": ""}
        result.append(
            chunk({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]})
        )
        result += [
            chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
            for piece in pieces(call.arguments, says.piece)
        ]
    result.append(chunk({}, "tool_calls" if says.calls else "stop"))
    if usage:
        result.append(_event({**base, "choices": [], "usage": _chat_usage(says)}))
    result.append(b"data: [DONE]\n\n")
    return result


# Responses ------------------------------------------------------------------------------------------------------------------------------


def _items(says: Says) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    if says.thinking:
        summary = [{"type": "summary_text", "text": says.thinking}]
        result.append({"type": "reasoning", "id": "rs_0", "summary": summary})
    if says.text:
        content = [{"type": "output_text", "text": says.text, "annotations": []}]
        result.append(
            {"type": "message", "id": "msg_0", "status": "completed", "role": "assistant", "content": content}
        )
    result += [
        {
            "type": "function_call",
            "id": f"fc_{index}",
            "status": "completed",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }
        for index, call in enumerate(says.calls)
    ]
    return result


def _responses_whole(model: str, says: Says, *, status: str = "completed") -> Any:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": _items(says) if status == "completed" else [],
        "usage": {
            "input_tokens": says.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": says.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": says.input_tokens + says.output_tokens,
        }
        if status == "completed"
        else None,
    }


def _responses_stream(model: str, says: Says, *, usage: bool) -> list[bytes]:  # noqa: ARG001  it always says it
    sent: list[bytes] = []

    def send(kind: str, **fields: Any) -> None:
        sent.append(_event({"type": kind, "sequence_number": len(sent), **fields}, kind))

    send("response.created", response=_responses_whole(model, says, status="in_progress"))
    send("response.in_progress", response=_responses_whole(model, says, status="in_progress"))
    for index, item in enumerate(_items(says)):
        _responses_item(send, index, item, says)
    send("response.completed", response=_responses_whole(model, says))
    return sent


def _responses_item(send: Any, index: int, item: dict[str, Any], says: Says) -> None:
    at = {"item_id": item["id"], "output_index": index}
    if item["type"] == "reasoning":
        send("response.output_item.added", output_index=index, item={**item, "summary": []})
        part: dict[str, Any] = {"type": "summary_text", "text": ""}
        send("response.reasoning_summary_part.added", **at, summary_index=0, part=part)
        for piece in pieces(says.thinking, says.piece):
            send("response.reasoning_summary_text.delta", **at, summary_index=0, delta=piece)
        send("response.reasoning_summary_text.done", **at, summary_index=0, text=says.thinking)
        send(
            "response.reasoning_summary_part.done",
            **at,
            summary_index=0,
            part={**part, "text": says.thinking},
        )
    elif item["type"] == "message":
        send(
            "response.output_item.added",
            output_index=index,
            item={**item, "status": "in_progress", "content": []},
        )
        part = {"type": "output_text", "text": "", "annotations": []}
        send("response.content_part.added", **at, content_index=0, part=part)
        for piece in pieces(says.text, says.piece):
            send("response.output_text.delta", **at, content_index=0, delta=piece)
        send("response.output_text.done", **at, content_index=0, text=says.text)
        send("response.content_part.done", **at, content_index=0, part={**part, "text": says.text})
    else:
        send(
            "response.output_item.added",
            output_index=index,
            item={**item, "status": "in_progress", "arguments": ""},
        )
        for piece in pieces(item["arguments"], says.piece):
            send("response.function_call_arguments.delta", **at, delta=piece)
        send("response.function_call_arguments.done", **at, arguments=item["arguments"])
    send("response.output_item.done", output_index=index, item=item)


# Messages -------------------------------------------------------------------------------------------------------------------------------


def _blocks(says: Says) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    if says.thinking:
        result.append({"type": "thinking", "thinking": says.thinking, "signature": "c2lnbmVk"})
    if says.text:
        result.append({"type": "text", "text": says.text})
    result += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": json.loads(call.arguments)}
        for call in says.calls
    ]
    return result


def _messages_whole(model: str, says: Says) -> Any:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": _blocks(says),
        "stop_reason": "tool_use" if says.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": says.input_tokens, "output_tokens": says.output_tokens},
    }


def _messages_stream(model: str, says: Says, *, usage: bool) -> list[bytes]:  # noqa: ARG001  it always says it
    def send(kind: str, **fields: Any) -> None:
        sent.append(_event({"type": kind, **fields}, kind))

    sent: list[bytes] = []
    message = {**_messages_whole(model, says), "content": [], "stop_reason": None}
    message["usage"] = {"input_tokens": says.input_tokens, "output_tokens": 1}
    send("message_start", message=message)
    send("ping")
    for index, block in enumerate(_blocks(says)):
        if block["type"] == "thinking":
            send(
                "content_block_start",
                index=index,
                content_block={"type": "thinking", "thinking": "", "signature": ""},
            )
            deltas = [
                {"type": "thinking_delta", "thinking": piece} for piece in pieces(says.thinking, says.piece)
            ]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        elif block["type"] == "text":
            send("content_block_start", index=index, content_block={"type": "text", "text": ""})
            deltas = [{"type": "text_delta", "text": piece} for piece in pieces(says.text, says.piece)]
        else:
            send("content_block_start", index=index, content_block={**block, "input": {}})
            text = json.dumps(block["input"])
            deltas = [
                {"type": "input_json_delta", "partial_json": piece} for piece in pieces(text, says.piece)
            ]
        for delta in deltas:
            send("content_block_delta", index=index, delta=delta)
        send("content_block_stop", index=index)
    reason = "tool_use" if says.calls else "end_turn"
    send(
        "message_delta",
        delta={"stop_reason": reason, "stop_sequence": None},
        usage={"output_tokens": says.output_tokens},
    )
    send("message_stop")
    return sent


# Gemini ---------------------------------------------------------------------------------------------------------------------------------


def _gemini(model: str, says: Says, parts: list[Any], *, last: bool) -> Any:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    used = {"promptTokenCount": says.input_tokens, "totalTokenCount": says.input_tokens}
    if last:
        candidate["finishReason"] = "STOP"
        used = {
            "promptTokenCount": says.input_tokens,
            "candidatesTokenCount": says.output_tokens,
            "totalTokenCount": says.input_tokens + says.output_tokens,
        }
    return {"candidates": [candidate], "usageMetadata": used, "modelVersion": model, "responseId": "gemini-1"}


def _gemini_calls(says: Says) -> list[Any]:
    return [
        {"functionCall": {"id": call.id, "name": call.name, "args": json.loads(call.arguments)}}
        for call in says.calls
    ]


def _gemini_whole(model: str, says: Says) -> Any:
    parts: list[Any] = [{"text": says.thinking, "thought": True}] if says.thinking else []
    parts += [{"text": says.text}] if says.text else []
    return _gemini(model, says, parts + _gemini_calls(says), last=True)


def _gemini_stream(model: str, says: Says, *, usage: bool) -> list[bytes]:  # noqa: ARG001  it always says it
    chunks: list[list[Any]] = []
    if says.thinking:
        chunks += [[{"text": piece, "thought": True}] for piece in pieces(says.thinking, says.piece)]
    if says.text:
        chunks += [[{"text": piece}] for piece in pieces(says.text, says.piece)]
    chunks += [[call] for call in _gemini_calls(says)]
    chunks.append([{"text": ""}])
    last = len(chunks) - 1
    return [_event(_gemini(model, says, parts, last=place == last)) for place, parts in enumerate(chunks)]


_WHOLE = {CHAT: _chat_whole, RESPONSES: _responses_whole, MESSAGES: _messages_whole, GEMINI: _gemini_whole}
_STREAMS = {
    CHAT: _chat_stream,
    RESPONSES: _responses_stream,
    MESSAGES: _messages_stream,
    GEMINI: _gemini_stream,
}
