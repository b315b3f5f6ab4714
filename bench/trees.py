"""Directories to measure with."""

from __future__ import annotations

import os
import random


def make_tree(directory: str, *, directories: int, files: int, seed: int = 7) -> list[str]:
    """``directories`` with ``files`` small text files each; their paths."""
    generator = random.Random(seed)
    words = [
        "".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=generator.randint(3, 9)))
        for _ in range(2000)
    ]
    paths = []
    for number in range(directories):
        below = os.path.join(directory, f"package-{number:03d}")
        os.makedirs(below)
        for count in range(files):
            path = os.path.join(below, f"module_{count:03d}.txt")
            with open(path, "w", encoding="utf-8") as file:
                file.write(" ".join(generator.choices(words, k=generator.randint(50, 400))))
            paths.append(path)
    return paths


def bytes_below(directory: str) -> int:
    """Bytes of all files at and below ``directory``."""
    return sum(
        os.path.getsize(os.path.join(parent, name))
        for parent, _, names in os.walk(directory)
        for name in names
    )
