"""The real weights of the smallest offline model, fetched once and kept outside the tree for the next run of the tests.

``offline-model`` is a capability (``tests.capabilities``): where no registry can be reached and nothing was kept, what needs
it skips with its reason, and fails where ``CI=true``.
"""

from __future__ import annotations

import importlib.util
import os
import time
from functools import cache

from lastro.errors import LockedError, UnreachableError
from lastro.gateway.offline.models import ModelDirectory
from lastro.gateway.offline.pull import pull

MODEL = "smollm2"
_PATIENCE_S = 120


def kept_models() -> ModelDirectory:
    """Where they are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return ModelDirectory(os.path.join(home, "lastro-tests", "models"))


@cache
def has_offline_model() -> bool:
    """Whether the weights are there; fetches them if they are not."""
    if importlib.util.find_spec("xllamacpp") is None:  # the extra is not installed
        return False
    begun = time.monotonic()
    while True:
        try:
            pull(kept_models(), MODEL)
        except LockedError:  # another run of the tests fetches them
            if time.monotonic() - begun > _PATIENCE_S:
                return False
            time.sleep(0.2)
        except UnreachableError:
            return False
        else:
            return True
