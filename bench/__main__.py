"""Runs every benchmark and prints what it measured; ``python -m bench NAME...`` runs some of them."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = (
    "start",
    "first_capture",
    "change_to_version",
    "growth",
    "gateway",
    "agents",
    "console",
    "console_lists",
    "console_up",
)


def main() -> int:
    """Run the benchmarks that were named, or all."""
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(
            f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}",
            file=sys.stderr,
        )
        return 2
    for name in names:
        for label, value in importlib.import_module(f"bench.{name}").measure():
            print(f"{name:18} {label:60} {value}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
