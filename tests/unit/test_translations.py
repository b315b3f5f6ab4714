"""What `make check` says about a catalogue: it speaks up for everything that would show a reader the wrong text."""

from __future__ import annotations

import gettext

import pytest
from babel.messages.catalog import Catalog
from jinja2 import TemplateSyntaxError

from hatch_build import compile_catalogues
from tools.translations import extract, problems, read, update

SOURCE = """
from lastro.messages import N_
PLAIN = N_("Nothing changed.")
FILLED = N_("No such path: {path}")
COUNTED = ngettext("{count} file", "{count} files", 3)
"""


@pytest.fixture
def template(tmp_path):
    (tmp_path / "source.py").write_text(SOURCE, "utf-8")
    return extract(tmp_path)


def test_templates_are_read_too(tmp_path):
    (tmp_path / "page.html").write_text(
        "<h1>{{ _('Nothing changed.') }}</h1>{{ ngettext('{count} file', '{count} files', 3) }}", "utf-8"
    )
    assert {message.id for message in extract(tmp_path) if message.id} == {
        "Nothing changed.",
        ("{count} file", "{count} files"),
    }


def test_a_template_that_cannot_be_read_is_not_passed_over(tmp_path):
    (tmp_path / "page.html").write_text("{% if %}{{ _('Nothing changed.') }}", "utf-8")
    with pytest.raises(TemplateSyntaxError):
        extract(tmp_path)


def catalogue(**changes):
    translated = Catalog(locale="pt_BR")
    translated.add("Nothing changed.", changes.get("plain", "Nada mudou."), flags=changes.get("flags", ()))
    translated.add("No such path: {path}", changes.get("filled", "Caminho inexistente: {path}"))
    translated.add(
        ("{count} file", "{count} files"), changes.get("counted", ("{count} arquivo", "{count} arquivos"))
    )
    return translated


def test_a_whole_catalogue_passes(template):
    assert list(problems(catalogue(), template)) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"plain": ""}, "no translation: 'Nothing changed.'"),
        ({"counted": ("{count} arquivo", "")}, "no translation: '{count} file'"),
        ({"flags": ["fuzzy"]}, "fuzzy: 'Nothing changed.'"),
        ({"filled": "Caminho: {caminho}"}, "other placeholders than its msgid: 'No such path: {path}'"),
        ({"filled": "Caminho: {path"}, "other placeholders than its msgid: 'No such path: {path}'"),
        (
            {"counted": ("um arquivo", "{count} arquivos")},
            "other placeholders than its msgid: '{count} file'",
        ),
        ({"counted": ("{count} arquivo", "arquivos")}, "other placeholders than its msgid: '{count} file'"),
    ],
)
def test_what_is_wrong_is_named(template, changes, problem):
    assert list(problems(catalogue(**changes), template)) == [problem]


def test_a_msgid_that_is_new_or_gone_is_named(template):
    template.add("Brand new.")
    translated = catalogue()
    translated.add("Long gone.", "Sumiu.")
    assert list(problems(translated, template)) == [
        "no translation: 'Brand new.'",
        "not in the sources any more: 'Long gone.'",
    ]


def test_an_update_keeps_translations_and_is_stable(tmp_path, template):
    path = tmp_path / "src/lastro/locale/pt_BR/LC_MESSAGES/lastro.po"
    path.parent.mkdir(parents=True)
    path.write_text(
        'msgid "Nothing changed."\nmsgstr "Nada mudou."\n\nmsgid "Gone."\nmsgstr "Sumiu."\n', "utf-8"
    )
    update(path, template)
    once = path.read_bytes()
    update(path, template)
    assert path.read_bytes() == once
    assert [message.id for message in read(path) if message.id] == [
        "No such path: {path}",
        "Nothing changed.",
        ("{count} file", "{count} files"),
    ]

    assert compile_catalogues(tmp_path) == [path.with_suffix(".mo")]
    with path.with_suffix(".mo").open("rb") as file:
        assert gettext.GNUTranslations(file).gettext("Nothing changed.") == "Nada mudou."
