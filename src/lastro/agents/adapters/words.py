"""What a user typed for a coding tool, taken apart: its options, each with its values, and the words that are none. Pure.

What always holds: every word that was typed is in exactly one place, in the order it had, as it was typed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct


class Grammar(Struct, frozen=True, kw_only=True):
    """Which options of a tool take the next word (``valued``), all words up to the next option (``greedy``), or the next word unless it
    looks like an option (``maybe``). Every other option stands alone.
    """

    valued: frozenset[str] = frozenset()
    greedy: frozenset[str] = frozenset()
    maybe: frozenset[str] = frozenset()


class Typed(Struct, frozen=True, kw_only=True):
    """The command line of a tool, without its name. Each option is a group of words: the option's own, and its values."""

    options: tuple[tuple[str, ...], ...] = ()
    words: tuple[str, ...] = ()

    def has(self, *names: str) -> bool:
        """Whether one of the options was given."""
        return any(_name(group[0]) in names for group in self.options)

    def value(self, *names: str) -> str | None:
        """The last value that one of the options was given; ``None``: none."""
        for group in reversed(self.options):
            if _name(group[0]) in names:
                return group[1] if len(group) > 1 else _attached(group[0])
        return None

    def without(self, names: Collection[str]) -> Typed:
        """The same without these options."""
        kept = tuple(group for group in self.options if _name(group[0]) not in names)
        return Typed(options=kept, words=self.words)

    @property
    def flat(self) -> tuple[str, ...]:
        """All options with their values."""
        return tuple(word for group in self.options for word in group)


def take_apart(arguments: Sequence[str], grammar: Grammar) -> Typed:
    """Read the command line ``arguments`` (without the program's name)."""
    options: list[tuple[str, ...]] = []
    words: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
            continue
        options.append((word, *_values(word, rest, grammar)))
    return Typed(options=tuple(options), words=tuple(words))


def _values(word: str, rest: list[str], grammar: Grammar) -> list[str]:
    """What belongs to the option ``word``, taken off the front of ``rest``."""
    name = _name(word)
    if _attached(word) is not None or not rest:
        return []
    if word in grammar.valued:
        return [rest.pop(0)]
    if name in grammar.maybe and not rest[0].startswith("-"):
        return [rest.pop(0)]
    taken: list[str] = []
    while name in grammar.greedy and rest and not rest[0].startswith("-"):
        taken.append(rest.pop(0))
    return taken


def _name(word: str) -> str:
    """``--model`` of ``--model=x``, ``-m`` of ``-mx`` and ``-m=x``."""
    return word.partition("=")[0] if word.startswith("--") else word[:2]


def _attached(word: str) -> str | None:
    """``x`` of ``--model=x`` and of ``-mx``; ``None``: nothing is attached."""
    if word.startswith("--"):
        _, equals, value = word.partition("=")
        return value if equals else None
    return word[2:].removeprefix("=") or None
