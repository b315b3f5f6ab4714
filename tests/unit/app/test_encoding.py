"""Laws of the JSON that all faces share: what comes back is what was sent, whatever bytes a path has."""

from __future__ import annotations

import collections.abc
import inspect
import json
import types
import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.app.caller import Bytes
from lastro.app.encoding import decode, encode
from lastro.app.events import Event
from lastro.app.failure import Failure, error_of, failure_of
from lastro.app.operation import all_operations
from lastro.domain.changes import ChangeSet
from lastro.domain.entry import Entry
from lastro.domain.paths import from_bytes
from lastro.domain.reference import Reference
from lastro.errors import ConflictError, LastroError, ProtocolError

TYPES = sorted(
    {kind for operation in all_operations() for kind in (operation.request, operation.reply)} - {Bytes},
    key=lambda kind: kind.__name__,
)

any_string = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.binary(max_size=8).map(
    from_bytes
)
any_integer = st.integers(-(2**63), 2**63 - 1)

PLAIN = {
    str: any_string,
    int: any_integer,
    bytes: st.binary(max_size=40),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    type(None): st.none(),
}


def values(kind):
    """Instances of a struct type."""
    return st.builds(kind, **{field.name: of(field.type) for field in msgspec.structs.fields(kind)})


def of(annotation):  # noqa: PLR0911  one answer per kind of annotation
    """Values of an annotated type; tuples stay short."""
    if annotation in PLAIN:
        return PLAIN[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is typing.Any:
        return any_string | any_integer | st.booleans()
    if origin is typing.Annotated:
        least = next((meta.ge for meta in arguments[1:] if isinstance(meta, msgspec.Meta)), None)
        return st.integers(least, 2**63 - 1) if least is not None else of(arguments[0])
    if origin in {typing.Union, types.UnionType}:
        return st.one_of([of(one) for one in arguments])
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return st.lists(of(arguments[0]), max_size=2).map(tuple)
    if origin is collections.abc.Mapping:
        names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(
            lambda name: name != "b64"
        )
        return st.dictionaries(names, of(arguments[1]), max_size=2)
    if hasattr(annotation, "__supertype__"):
        return of(annotation.__supertype__)
    if inspect.isclass(annotation) and issubclass(annotation, msgspec.Struct):
        return st.deferred(lambda: values(annotation))
    return st.from_type(annotation)


@pytest.mark.parametrize("kind", [*TYPES, Entry, ChangeSet, Reference], ids=lambda kind: kind.__name__)
def test_every_request_and_reply_comes_back_as_it_was(kind):
    @given(values(kind))
    def law(value):
        assert decode(encode(value), kind) == value

    law()


@given(
    st.dictionaries(st.sampled_from(["path", "text"]), any_string | any_integer | st.booleans() | st.none())
)
def test_an_event_comes_back_as_it_was(parameters):
    event = Event(kind="problem", time_ns=1, seq=2, parameters={"b64": "x", "more": 1, **parameters})
    assert decode(encode(event), Event) == event


@given(any_string, any_string)
def test_a_path_of_any_bytes_is_plain_json(server, path):
    read = json.loads(encode(Reference(server=server, path=path, at=None)))
    assert set(read) == {"server", "path", "at"}


@given(st.binary(max_size=60))
def test_what_is_not_of_the_type_is_refused(raw):
    try:
        decode(raw, Reference)
    except ProtocolError:
        return
    assert json.loads(raw)["path"] is not None


@pytest.mark.parametrize(
    "raw", [b'{"b64": "!"}', b'{"server":"a","path":{"b64":1},"at":null}', b"\xff", b'{"b64":"' + b"/" * 3]
)
def test_a_broken_string_is_refused(raw):
    with pytest.raises(ProtocolError):
        decode(raw, Reference)


@given(any_string)
def test_an_error_travels(path):
    error = ConflictError("{path} changed.", hint="Look at {path}.", path=path, count=3, other=b"x")
    back = error_of(decode(encode(failure_of(error)), Failure))
    assert type(back) is ConflictError
    assert (back.msgid, back.hint, back.parameters["path"], back.parameters["count"]) == (
        error.msgid,
        error.hint,
        path,
        3,
    )


def test_every_error_of_the_tree_travels():
    kinds = [LastroError]
    for kind in kinds:  # packages have kinds of their own below these; they do not leave their process
        kinds += [below for below in kind.__subclasses__() if below.__module__ == LastroError.__module__]
        assert type(error_of(failure_of(kind("x")))) is kind
    assert type(error_of(Failure(code="of a newer version", message="x"))) is LastroError
    assert Bytes not in kinds
