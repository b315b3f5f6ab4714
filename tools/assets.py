"""Builds the console's style sheet and scripts: ``python -m tools.assets``. Nothing happens where they stand already."""

from __future__ import annotations

import sys
from pathlib import Path

from hatch_build import AssetsError, build_assets

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Build them, or say why they cannot be built."""
    try:
        if build_assets(ROOT):
            print("built the console's style sheet and scripts")
    except AssetsError as error:
        print(f"\n*** {error}\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
