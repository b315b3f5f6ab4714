"""Laws of sentences: filling never raises, and never hides what it cannot fill."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.messages import N_, Message, fill


def test_a_mark_changes_nothing():
    assert N_("kept {count} files") == "kept {count} files"


def test_parameters_are_filled_in():
    message = Message(msgid=N_("kept {count:,} files in {where}"), parameters={"count": 1200, "where": "~"})
    assert message.render() == str(message) == "kept 1,200 files in ~"


def test_a_translation_takes_the_same_parameters():
    message = Message(msgid="kept {count} files", parameters={"count": 3})
    assert (
        message.render({"kept {count} files": "{count} arquivos guardados"}.__getitem__)
        == "3 arquivos guardados"
    )


def test_a_missing_parameter_stands_for_itself():
    assert fill("kept {count} files in {where}", {"count": 3}) == "kept 3 files in {where}"


@pytest.mark.parametrize(
    "template", ["{", "}", "{}", "{0}", "{count:%Q}", "{count.nothing}", "{count[0]}", "{count!z}"]
)
def test_a_template_that_cannot_be_filled_is_shown_as_it_is(template):
    assert fill(template, {"count": 3}) == template


@given(st.text(), st.dictionaries(st.text(), st.one_of(st.none(), st.integers(), st.text(), st.binary())))
def test_filling_never_raises(template, parameters):
    assert isinstance(fill(template, parameters), str)


@given(st.text())
def test_a_parameter_is_never_a_template(value):
    assert fill("{path}", {"path": value}) == value


def test_a_message_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Message(msgid="kept").msgid = "lost"
