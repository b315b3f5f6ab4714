"""The implementations of ``Layer`` that ``test_layers.py`` holds to the contract. To add one, add a line."""

from __future__ import annotations

import os
import shutil
from typing import Protocol

from lastro.agents.copied import CopyLayer, prepare_copy
from lastro.agents.layer import Layer
from lastro.agents.overlay import OverlayLayer, prepare_overlay
from lastro.capture.local import LocalSource
from lastro.capture.source import Root
from tests.agent_work import perform
from tests.memory_layer import MemoryLayer, read_state
from tests.overlay_mount import mounted


class Run(Protocol):
    """A layer of ``project``, and an agent that works in it."""

    layer: Layer

    def work(self, work) -> None: ...


class OverlayRun:
    def __init__(self, project: str, directory: str) -> None:
        prepare_overlay(directory, project)
        self._place = project, directory, f"{directory}/view"
        self.layer = OverlayLayer(project, directory)

    def work(self, work) -> None:
        with mounted(*self._place) as view:
            perform(view, work)


class CopyRun:
    def __init__(self, project: str, directory: str) -> None:
        prepare_copy(project, directory)
        self._copy = f"{directory}/copy"
        self.layer = CopyLayer(project, directory)

    def work(self, work) -> None:
        perform(self._copy, work)


class MemoryRun:
    """The agent works on a scratch tree, which is then read whole."""

    def __init__(self, project: str, directory: str) -> None:
        self.scratch = f"{directory}/scratch"
        self._source = LocalSource([Root(path=self.scratch)])
        os.makedirs(directory, exist_ok=True)
        shutil.copytree(project, self.scratch, symlinks=True, copy_function=_copied)
        _same_attributes(project, self.scratch)
        self.layer = MemoryLayer(project, read_state(self._source, self.scratch))

    def work(self, work) -> None:
        perform(self.scratch, work)
        self.layer.after = read_state(self._source, self.scratch)


def _copied(source, target):
    if os.path.islink(source) or not os.path.isfile(source):
        return None
    return shutil.copy2(source, target)


def _same_attributes(project: str, scratch: str) -> None:
    for folder, directories, _ in os.walk(project):
        for name in ["", *directories]:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                shutil.copystat(path, os.path.join(scratch, os.path.relpath(path, project)))


LAYERS = {"overlay": OverlayRun, "copy": CopyRun, "memory": MemoryRun}
NEEDS = {"overlay": ("overlays",)}
