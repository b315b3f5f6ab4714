"""``python -m lastro``: the same as the ``lastro`` command."""

from __future__ import annotations

from lastro.faces.cli.main import main

if __name__ == "__main__":
    main()
