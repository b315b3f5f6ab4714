"""``Layer``: the view of a project that one run changes, while the live project stays as it is.

Implementations: ``overlay`` (copy-on-write over the project's own path), ``copy`` (a plain copy where there are no namespaces), and
``tests.memory_layer``. What always holds, for every implementation: the same work of an agent gives the same ``changed()``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from lastro.capture.source import Source


class Mark(Struct, frozen=True, array_like=True):
    """What tells one state of a path in the layer from another, without reading it. ``kind``: ``file``, ``dir``, ``opaque`` (a directory
    that replaces the one below), ``symlink``, ``gone``, ``other``.
    """

    kind: str
    size: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    inode: int = 0
    mode: int = 0


Manifest = Mapping[str, Mark]
"""Every path of the layer that may differ from the project, relative to it."""


class LayerSize(Struct, frozen=True, kw_only=True):
    """What a layer takes: bytes on disk, and how many files and directories."""

    bytes: int
    files: int


class Layer(Protocol):
    """See the module. Every verb may be called while the agent works, from one thread at a time."""

    def manifest(self) -> Manifest:
        """What there is in the layer now: cheap, no content is read. A path that vanishes meanwhile is left out."""
        ...

    def size(self) -> LayerSize:
        """What the layer takes now."""
        ...

    def changed(self) -> Sequence[str]:
        """The paths that may differ from the project as it was, in tree order, without ``.git``. Paths that turn out the same do no harm.

        A directory that was one before too stands for its own attributes (``""``: the project's), and what differs in it is named itself:
        so what a human does meanwhile beside the agent's work is not taken for it. Of a removed directory its own path is enough.
        """
        ...

    def source(self) -> Source:
        """The project as the agent sees it: one root, the project's absolute path. Made when the agent has ended."""
        ...

    def remove(self) -> None:
        """Give the disk back. Nothing can be collected any more."""
        ...
