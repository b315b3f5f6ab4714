"""Laws of the error tree: codes are unique, exit codes are as documented, and an error survives every way home."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro import errors
from lastro.errors import LastroError
from tests.strategies import any_text

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LastroError)]
LINE = re.compile(r"^ {4}([│├└─ ]*)(\w+Error) +(\d+)", re.MULTILINE)

every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
parameters = st.dictionaries(
    st.from_regex(r"[a-z]{1,4}", fullmatch=True).filter(lambda name: name not in {"hint", "self", "kind"}),
    st.one_of(any_text, st.integers(), st.binary(), st.none(), st.lists(st.text())),
    max_size=3,
)


def documented():
    """The tree in the module's docstring: name → (exit code, name of the parent)."""
    found, above = {}, []
    for branch, name, code in LINE.findall(errors.__doc__):
        depth = len(branch) // 4
        above[depth:] = [name]
        found[name] = (int(code), above[depth - 1] if depth else "Exception")
    return found


def test_the_documented_tree_is_the_tree():
    assert documented() == {kind.__name__: (kind.exit_code, kind.__base__.__name__) for kind in KINDS}


def test_no_two_errors_have_one_code():
    codes = [kind.code for kind in KINDS]
    assert sorted(set(codes)) == sorted(codes)
    assert all(re.fullmatch("[a-z_]+", code) for code in codes)


def test_what_may_be_tried_again():
    assert {kind.code for kind in KINDS if kind.retryable} == {"storage_full", "unreachable"}


@every_kind
@given(msgid=st.text(), hint=st.text(), parameters=parameters)
def test_an_error_comes_home_from_another_process(kind, msgid, hint, parameters):
    error = kind(msgid, hint=hint, **parameters)
    for back in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(back) is kind
        assert (back.msgid, back.hint, back.parameters) == (msgid, hint, parameters)
        assert (str(back), back.hint_text) == (str(error), error.hint_text)


class Unspeakable:
    """A parameter that cannot be shown."""

    def __format__(self, specification):
        raise ZeroDivisionError


@given(st.text() | st.just("{path.x} {0} {path!r:>{width}} {"), st.text(), parameters)
def test_telling_an_error_never_fails(msgid, hint, parameters):
    error = LastroError(msgid, hint=hint, **parameters)
    assert isinstance(str(error), str)
    assert isinstance(error.hint_text, str)
    assert repr(error)


def test_a_parameter_that_cannot_be_shown_hides_nothing_else():
    assert str(LastroError("{path} is gone", path=Unspeakable())) == "{path} is gone"
    assert str(LastroError("{code:c}", code=-1)) == "{code:c}"


def test_message_and_hint_are_filled_by_the_same_parameters():
    error = errors.NotFoundError("There is no {path}", hint="Look at {path} and {other}", path="/x")
    assert str(error) == "There is no /x"
    assert error.hint_text == "Look at /x and {other}"
    assert errors.NotFoundError("Gone").hint_text == ""
