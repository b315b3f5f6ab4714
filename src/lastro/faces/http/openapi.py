"""The description of the API, made from the operation table alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from lastro import __version__
from lastro.app.caller import Bytes
from lastro.app.failure import Failure
from lastro.app.operation import Operation, Place


def document(operations: Iterable[Operation[Any, Any]]) -> dict[str, Any]:
    """OpenAPI 3.1 of the KEEPER ones among ``operations``. A string that is not UTF-8 travels as ``{"b64": "..."}`` (``app.encoding``)."""
    served = sorted((one for one in operations if one.place is Place.KEEPER), key=lambda one: one.name)
    types = [Failure, *(kind for one in served for kind in (one.request, one.reply) if kind is not Bytes)]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(types, schemas, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lastro",
            "version": __version__,
            "description": 'A string that is not UTF-8 is {"b64": "<base64 of its bytes>"}.',
        },
        "paths": {f"/api/v1/{one.name}": {"post": _path(one, schema_of)} for one in served},
        "components": {"schemas": components},
    }


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
