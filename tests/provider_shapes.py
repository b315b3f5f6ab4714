"""Small local servers shaped like the providers and model servers that a probe meets: their addresses, lists, answers and refusals.

async with shaped(vllm()) as (base_url, server):
    server.asked  # [("GET", "/v1/models", headers, body), …]
"""

from __future__ import annotations

import asyncio
import contextlib
import json

KEY = "sk-very-secret-key-text"


class Shape:
    """A server: ``get`` maps paths to answers, ``dialects`` what it speaks below ``prefix``."""

    def __init__(
        self, *, dialects=(), prefix="/v1", get=None, post=None, key="", key_header="authorization", **how
    ):
        self.dialects = dialects
        self.prefix = prefix
        self.get = get or {}
        self.post = post or {}
        self.key = key
        self.key_header = key_header
        self.calls_tools = how.pop("calls_tools", True)
        self.streams = how.pop("streams", True)
        self.refused_name = how.pop("refused_name", "")
        self.refuse = how.pop("refuse", None)
        assert not how
        self.asked = []

    def answer(self, method, path, headers, body):
        """Status and body (JSON or server-sent events)."""
        self.asked.append((method, path, headers, body))
        if self.key and self.key not in headers.get(self.key_header, ""):
            return 401, {"error": {"message": f"Incorrect API key provided: {headers.get(self.key_header)}."}}
        bare = path.partition("?")[0]
        table = self.get if method == "GET" else self.post
        if bare in table:
            found = table[bare]
            return found if isinstance(found, tuple) else (200, found)
        dialect = spoken(bare.removeprefix(self.prefix)) if method == "POST" else ""
        if dialect not in self.dialects:
            return 404, {"detail": "Not Found"}
        if self.refuse is not None:
            return self.refuse
        asked = json.loads(body)
        if self.refused_name and self.refused_name in asked:
            return 422 if self.refused_name == "max_completion_tokens" else 400, {
                "error": {
                    "message": f"Unsupported parameter: '{self.refused_name}'.",
                    "type": "invalid_request_error",
                    "param": self.refused_name,
                    "code": "unsupported_parameter",
                }
            }
        call = bool(asked.get("tools")) and self.calls_tools
        stream = self.streams and (asked.get("stream") or "streamGenerateContent" in path)
        return 200, (STREAMS if stream else WHOLE)[dialect](call)


def spoken(path):
    if "enerateContent" in path:
        return "gemini"
    return {"/chat/completions": "chat", "/responses": "responses", "/messages": "messages"}.get(path, "")


ARGUMENTS = '{"works":true}'


def chat(call):
    calls = [{"id": "call_1", "type": "function", "function": {"name": "report", "arguments": ARGUMENTS}}]
    message = {"role": "assistant", "content": None if call else "ok"} | (
        {"tool_calls": calls} if call else {}
    )
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10},
    }


def chat_stream(_call):
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return events(
        chunk
        | {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "ok"}, "finish_reason": None}]},
        chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        chunk | {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}},
        "[DONE]",
    )


def messages(call):
    block = (
        {"type": "tool_use", "id": "toolu_1", "name": "report", "input": {"works": True}}
        if call
        else {"type": "text", "text": "ok"}
    )
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [block],
        "stop_reason": "tool_use" if call else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 1},
    }


def messages_stream(_call):
    empty = messages(call=False) | {"content": [], "stop_reason": None}
    return named_events(
        {"type": "message_start", "message": empty},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ok"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 1},
        },
        {"type": "message_stop"},
    )


def responses(call):
    item = (
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "report",
            "arguments": ARGUMENTS,
            "status": "completed",
        }
        if call
        else {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "ok", "annotations": []}],
        }
    )
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "m",
        "output": [item],
        "usage": {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10},
    }


def responses_stream(_call):
    whole = responses(call=False)
    item = whole["output"][0]
    begun = item | {"content": [], "status": "in_progress"}
    text = item["content"][0]
    opened = whole | {"status": "in_progress", "output": []}
    part = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return named_events(
        {"type": "response.created", "sequence_number": 0, "response": opened},
        {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": begun},
        {"type": "response.content_part.added", "sequence_number": 2, **part, "part": text | {"text": ""}},
        {"type": "response.output_text.delta", "sequence_number": 3, **part, "delta": "ok"},
        {"type": "response.output_text.done", "sequence_number": 4, **part, "text": "ok"},
        {"type": "response.content_part.done", "sequence_number": 5, **part, "part": text},
        {"type": "response.output_item.done", "sequence_number": 6, "output_index": 0, "item": item},
        {"type": "response.completed", "sequence_number": 7, "response": whole},
    )


def gemini(call):
    part = {"functionCall": {"name": "report", "args": {"works": True}}} if call else {"text": "ok"}
    return {
        "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 1, "totalTokenCount": 10},
        "modelVersion": "m",
    }


def gemini_stream(call):
    return events(gemini(call))


def events(*data):
    return b"".join(
        b"data: " + (one.encode() if isinstance(one, str) else json.dumps(one).encode()) + b"\n\n"
        for one in data
    )


def named_events(*data):
    return b"".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in data)


WHOLE = {"chat": chat, "messages": messages, "responses": responses, "gemini": gemini}
STREAMS = {
    "chat": chat_stream,
    "messages": messages_stream,
    "responses": responses_stream,
    "gemini": gemini_stream,
}


def listed(*models):
    return {
        "object": "list",
        "data": [{"id": model, "object": "model"} if isinstance(model, str) else model for model in models],
    }


def ollama(**more):
    show = {
        "parameters": 'num_ctx                        4096\nstop "<|im_end|>"',
        "model_info": {"general.architecture": "qwen2", "qwen2.context_length": 32768},
        "capabilities": ["completion", "tools"],
    }
    return Shape(
        dialects=("chat", "messages"),
        get={"/v1/models": listed("qwen2.5-coder:7b")},
        post={"/api/show": show},
        **more,
    )


def vllm(**more):
    model = {"id": "Qwen/Qwen3-Coder", "object": "model", "owned_by": "vllm", "max_model_len": 65536}
    return Shape(dialects=("chat", "responses"), get={"/v1/models": listed(model)}, **more)


def llama_server(**more):
    props = {
        "default_generation_settings": {"n_ctx": 8192, "params": {}},
        "total_slots": 1,
        "modalities": {"vision": False, "audio": False},
    }
    return Shape(
        dialects=("chat", "responses", "messages"),
        get={"/v1/models": listed("smollm2.gguf"), "/props": props},
        **more,
    )


def openai(**more):
    models = listed("text-embedding-3-small", "gpt-5", "gpt-5-mini", "whisper-1")
    return Shape(
        dialects=("chat", "responses"), get={"/v1/models": models}, key=KEY, refused_name="max_tokens", **more
    )


def anthropic(**more):
    first = {"data": [{"type": "model", "id": "claude-opus-4"}], "has_more": True, "last_id": "claude-opus-4"}
    last = {
        "data": [{"type": "model", "id": "claude-haiku-4", "max_input_tokens": 200000}],
        "has_more": False,
    }
    shape = Shape(dialects=("messages",), key=KEY, key_header="x-api-key", **more)
    plain = shape.answer

    def answer(method, path, headers, body):
        status, said = plain(method, path, headers, body)
        if method == "GET" and path.startswith("/v1/models") and status == 404:
            assert headers["anthropic-version"]
            return 200, last if "after_id=claude-opus-4" in path else first
        return status, said

    shape.answer = answer
    return shape


def google(**more):
    models = {
        "models": [
            {"name": "models/embedding-001", "supportedGenerationMethods": ["embedContent"]},
            {
                "name": "models/gemini-2.5-flash",
                "inputTokenLimit": 1048576,
                "outputTokenLimit": 65536,
                "supportedGenerationMethods": ["generateContent", "countTokens"],
            },
        ]
    }
    return Shape(
        dialects=("gemini",),
        prefix="/v1beta",
        get={"/v1beta/models": models},
        key=KEY,
        key_header="x-goog-api-key",
        **more,
    )


def openrouter(**more):
    model = {
        "id": "vendor/small-chat",
        "context_length": 131072,
        "architecture": {"input_modalities": ["text", "image"]},
        "top_provider": {"max_completion_tokens": 32768},
        "supported_parameters": ["tools", "temperature"],
    }
    return Shape(
        dialects=("chat", "messages"),
        prefix="/api/v1",
        get={"/api/v1/models": listed(model)},
        key=KEY,
        **more,
    )


@contextlib.asynccontextmanager
async def shaped(shape):
    """The server on loopback while the context lasts: its base URL with the shape's prefix, and the shape."""

    async def serve(reader, writer):
        try:
            while True:
                begin = await reader.readexactly(1)
                if begin == b"\x16":  # somebody speaks TLS to a plain server
                    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    return
                head = (begin + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                method, path, _ = first.split(" ")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                status, said = shape.answer(method, path, headers, body)
                kind = "text/event-stream" if isinstance(said, bytes) else "application/json"
                raw = said if isinstance(said, bytes) else json.dumps(said).encode()
                writer.write(
                    f"HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(raw)}\r\n\r\n".encode()
                )
                writer.write(raw)
                await writer.drain()
        except (OSError, EOFError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{shape.prefix}", shape
