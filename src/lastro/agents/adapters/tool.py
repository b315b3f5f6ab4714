"""``ToolAdapter``: what the adapters of all coding tools do alike. A tool says what is its own: how it is typed, started and understood.

What always holds: what was typed is judged before anything is looked for or written; the id of a conversation is on a command line only
if it is a plain one, for an agent printed it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from typing_extensions import override

from lastro.agents.adapters.adapter import Adapter, Launch, Task, ToolInfo
from lastro.agents.adapters.starting import Product, both, fitting, is_session, probe_product
from lastro.agents.adapters.words import Typed


class ToolAdapter(Adapter):
    """A coding tool that takes one task on its command line. See ``adapter.Adapter`` for the verbs that are not told here."""

    product: ClassVar[Product]
    words: ClassVar[tuple[str, ...]] = ("--",)
    """What a user types between its name and the task."""

    @abstractmethod
    def typed(self, argv: Sequence[str]) -> tuple[Typed, str]:
        """What the user typed, without what a run replaces, and the task.

        Raises:
            UsageError: it makes no sense in a run.
        """

    @abstractmethod
    def start(self, task: Task, info: ToolInfo, typed: Typed, end: tuple[str, ...]) -> Launch:
        """As ``launch``; ``end`` are the words at the end of the command line that ask for something."""

    def asking(self, prompt: str) -> tuple[str, ...]:
        """The words that ask for ``prompt``."""
        return ("--", prompt)

    def going_on(self, session: str, prompt: str) -> tuple[str, ...] | None:  # noqa: ARG002  there is nothing to go on with
        """The words that say ``prompt`` to an earlier conversation; ``None``: the tool keeps none that can be called by its id."""
        return None

    @override
    def probe(
        self, argv: tuple[str, ...], environment: Mapping[str, str], project: str = ""
    ) -> ToolInfo | None:
        """See ``adapter.Adapter``."""
        self.typed(argv)
        return probe_product(self.product, argv, environment, project)

    @override
    def launch(self, task: Task, info: ToolInfo) -> Launch:
        """See ``adapter.Adapter``."""
        typed, prompt = self.typed(task.argv)
        return self.start(task, info, typed, self.asking(prompt))

    @override
    def resume(self, task: Task, info: ToolInfo, session: str, prompt: str) -> Launch | None:
        """See ``adapter.Adapter``."""
        typed, first = self.typed(task.argv)
        again = self.going_on(session, fitting(prompt)) if is_session(session) else None
        if again is None:
            return self.start(task, info, typed, self.asking(both(first, prompt)))
        return self.start(task, info, typed.without({"--session-id"}), again)

    @override
    def asked(self, prompt: str) -> tuple[str, ...] | None:
        """See ``adapter.Adapter``."""
        return (self.name, *self.words, prompt)

    @override
    def prompt(self, argv: Sequence[str]) -> str:
        """See ``adapter.Adapter``."""
        return self.typed(argv)[1]
