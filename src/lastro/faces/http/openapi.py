"""The description of the API, made from the operation table alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from lastro import __version__
from lastro.app.caller import Bytes
from lastro.app.failure import Failure
from lastro.app.operation import Operation, Place

_STRINGS: Final = 'A string that is not UTF-8 is {"b64": "<base64 of its bytes>"}.'


class Accepted(Struct, frozen=True, kw_only=True):
    """An operation that needs a user's own rights is a job; this one is not over yet. ``GET /jobs/NUMBER`` shows it to people,
    ``POST /api/v1/job.show`` to programs.
    """

    job: int
    state: str


def document(operations: Iterable[Operation[Any, Any]]) -> dict[str, Any]:
    """OpenAPI 3.1 of the KEEPER ones among ``operations``, as the keeper's own socket answers them."""
    served = sorted((one for one in operations if one.place is Place.KEEPER), key=lambda one: one.name)
    schema_of, components = _schemas(served)
    return _document(_STRINGS, {_place(one): {"post": _path(one, schema_of)} for one in served}, components)


def remote_document(rights: Mapping[Operation[Any, Any], str]) -> dict[str, Any]:
    """OpenAPI 3.1 of the operations that programs with a token may ask for, with the right that each takes."""
    served = sorted(rights, key=lambda one: one.name)
    schema_of, components = _schemas(served, Accepted)
    for one in served:  # a name that is not known is refused, because it may be one misspelt
        found = _component(components, schema_of[one.request])
        found["additionalProperties"] = False
    paths = {_place(one): {"post": _remote_path(one, schema_of, right=rights[one])} for one in served}
    paths.setdefault("/api/v1/events", {})["get"] = _stream()
    found = _document(
        _STRINGS
        + " An operation that takes longer than 'Prefer: wait=SECONDS' says is answered with 202 and goes on as a job.",
        paths,
        components,
    )
    found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    found["security"] = [{"token": []}]
    return found


def _stream() -> dict[str, Any]:
    """Events as they happen."""
    return {
        "operationId": "events.stream",
        "summary": "Follow what happens.",
        "description": "Server-sent events; with Last-Event-ID (or 'after') everything since then first, nothing twice.",
        "x-effect": "read",
        "x-right": "look",
        "parameters": [
            {"name": "after", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 0}}
        ],
        "responses": {
            "200": {
                "description": "It goes on.",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "default": {"description": "An error."},
        },
    }


def _document(description: str, paths: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lastro", "version": __version__, "description": description},
        "paths": paths,
        "components": {"schemas": components},
    }


def _schemas(
    served: Sequence[Operation[Any, Any]], *others: type[Struct]
) -> tuple[dict[Any, dict[str, Any]], dict[str, Any]]:
    """The schema of every type, and the components that they refer to."""
    types = [
        Failure,
        *others,
        *(kind for one in served for kind in (one.request, one.reply) if kind is not Bytes),
    ]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    return dict(zip(types, schemas, strict=True)), components


def _component(components: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    return found


def _place(operation: Operation[Any, Any]) -> str:
    return f"/api/v1/{operation.name}"


def _remote_path(
    operation: Operation[Any, Any], schema_of: dict[Any, dict[str, Any]], *, right: str
) -> dict[str, Any]:
    path = _path(operation, schema_of)
    path["x-right"] = right
    path["requestBody"]["required"] = any(
        field.required for field in msgspec.structs.fields(operation.request)
    )
    if operation.place is Place.CALLER:
        path["responses"]["202"] = {
            "description": "Not over yet.",
            "headers": {"Location": {"description": "Its page.", "schema": {"type": "string"}}},
            "content": {"application/json": {"schema": schema_of[Accepted]}},
        }
    return path


def _path(operation: Operation[Any, Any], schema_of: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    if operation.reply is Bytes:
        answer = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    else:
        answer = {"application/json": {"schema": schema_of[operation.reply]}}
    return {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.details or operation.summary,
        "x-effect": operation.effect.value,
        "requestBody": {"content": {"application/json": {"schema": schema_of[operation.request]}}},
        "responses": {
            "200": {"description": "Done.", "content": answer},
            "default": {
                "description": "An error.",
                "content": {"application/json": {"schema": schema_of[Failure]}},
            },
        },
    }
