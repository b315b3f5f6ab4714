"""What operations on offline models are asked and answer. Sizes are bytes, contexts tokens."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from lastro.app.operation import parameter
from lastro.app.requests.sentence import Sentence
from lastro.messages import N_


class ModelsList(Struct, frozen=True, kw_only=True):
    """The offline models."""


class ModelState(Struct, frozen=True, kw_only=True):
    """An offline model of the catalogue, or one that was imported.

    ``fit``: ``yes``, ``tight``, ``no`` or ``unknown``, on this machine. ``fetch`` says how to get its weights; empty when ``pull`` does.
    """

    name: str
    title: str
    licence: str
    size: int
    digest: str
    context: int
    good_for: str
    """A sentence, untranslated; empty where nobody said."""
    tools: str
    pulled: bool
    pullable: bool
    fit: str
    fit_reason: Sentence
    kinds: tuple[str, ...] = ()
    memory: int = 0
    """Bytes that it needs to work in."""
    size_estimated: bool = False
    fetch: str = ""
    """The command that brings it; empty for what is here."""
    known: str = ""
    """Where these facts are from: ``measured`` or ``publisher``; empty for what was imported."""


class ModelList(Struct, frozen=True, kw_only=True):
    """Offline models: those that are here, then those that can be."""

    models: tuple[ModelState, ...]
    directory: str


class ModelsPull(Struct, frozen=True, kw_only=True):
    """Fetch an offline model."""

    name: Annotated[
        str, parameter(N_("A model of 'lastro gateway models list'."), cli="argument", metavar="MODEL")
    ]


class ModelsImport(Struct, frozen=True, kw_only=True):
    """Take an offline model from a file."""

    path: Annotated[str, parameter(N_("A GGUF file."), cli="argument", metavar="PATH")]
    name: Annotated[
        str, parameter(N_("How to call it (default: from the file's own name)."), metavar="NAME")
    ] = ""


class ModelHere(Struct, frozen=True, kw_only=True):
    """An offline model that is on this machine now."""

    name: str
    path: str
    size: int
    digest: str
    licence: str
    context: int
    already: bool = False


class ModelName(Struct, frozen=True, kw_only=True):
    """One offline model."""

    name: Annotated[str, parameter(N_("The offline model."), cli="argument", metavar="MODEL")]


class ModelRemoved(Struct, frozen=True, kw_only=True):
    """An offline model whose weights are gone. ``size``: bytes that are free again."""

    name: str
    size: int
