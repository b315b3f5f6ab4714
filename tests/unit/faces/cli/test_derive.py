"""A request is made of what was typed, and of nothing else: what was not typed keeps the request's own default."""

from __future__ import annotations

import os

import click
import pytest

from lastro.app.operation import find_operation
from lastro.app.requests import Capture, Diff, Find, Log, NodeInit, Restore, RootsChange, Undo
from lastro.domain.reference import AtId, AtNow, AtTime, Reference
from lastro.faces.cli.derive import command_of
from lastro.faces.cli.derive import request_values as values_of
from tests.unit.faces.cli.conftest import NOW_NS

HERE = os.getcwd()


def asked(context, name, *arguments):
    """The request that a command line makes."""
    command = command_of(find_operation(name))
    with command.make_context(name, list(arguments)) as called:
        return command.operation.request(**values_of(command.fields, called.params, context))


def local(path, at=None):
    return Reference(server="local", path=path, at=at)


@pytest.mark.parametrize(
    ("name", "arguments", "request_"),
    [
        ("log", [], Log()),
        ("log", ["-n", "3"], Log(limit=3)),
        ("log", ["/x@snap-3^"], Log(reference=local("/x", AtId("snap", 3, before=True)))),
        ("log", ["/x@2d", "--at", "now"], Log(reference=local("/x@2d", AtNow()))),
        ("log", ["web:/x@1s"], Log(reference=Reference(server="web", path="/x", at=AtTime(NOW_NS - 10**9)))),
        ("restore", ["./x"], Restore(reference=local(f"{HERE}/x"))),
        (
            "restore",
            ["/x", "--to", "there", "--keep"],
            Restore(reference=local("/x"), to=f"{HERE}/there", keep=True),
        ),
        ("restore", ["/x", "--to", "~/there"], Restore(reference=local("/x"), to="/home/me/there")),
        ("restore", ["/x", "-y", "--plan"], Restore(reference=local("/x"), plan=True)),
        ("undo", [], Undo()),
        ("undo", ["apply-7"], Undo(apply="apply-7")),
        ("find", ["*", "--deleted", "--server", "web"], Find(name="*", deleted=True, server="web")),
        ("diff", ["/x", "/y@now"], Diff(before=local("/x"), after=local("/y", AtNow()))),
        ("diff", ["/x", "/y", "--at", "now"], Diff(before=local("/x", AtNow()), after=local("/y"))),
        (
            "capture",
            ["/x", "web"],
            Capture(references=(local("/x"), Reference(server="web", path="", at=None))),
        ),
        ("node.init", [], NodeInit()),
        ("node.roots.add", ["a", "/b/"], RootsChange(paths=(f"{HERE}/a", "/b"))),
        ("log", ["--", "/-n"], Log(reference=local("/-n"))),
    ],
)
def test_what_a_command_line_asks(context, name, arguments, request_):
    context.environment = {"HOME": "/home/me"}
    assert asked(context, name, *arguments) == request_


def test_at_without_a_reference_is_refused(context):
    with pytest.raises(click.UsageError):
        asked(context, "log", "--at", "2d")


def test_a_time_that_was_typed_is_echoed_as_understood(context, streams):
    asked(context, "log", "/x@90m")
    assert streams() == ("", "as of 2026-11-18 09:36:40 +00:00 (1 h ago)\n")
