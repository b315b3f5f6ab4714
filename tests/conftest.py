"""Settings of the whole suite: how hard hypothesis searches, and ``@pytest.mark.needs`` (see ``tests.capabilities``)."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from tests.capabilities import CAPABILITIES, has_capability, in_ci, needs

# No deadlines: a law that touches a disk takes as long as the disk does. CI tries the same examples every time, so that a change
# fails for what it changed; new examples are found at a desk and at night.
_COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", _COMMON, max_examples=50)
settings.register_profile("ci", _COMMON, max_examples=100, derandomize=True, print_blob=True)
settings.register_profile("nightly", _COMMON, max_examples=2_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if in_ci() else "dev"))


def pytest_configure(config):
    # Under nohup every process that a test starts would ignore it too, and so behave as told there: not the usual case.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.addinivalue_line("markers", "needs(*capabilities): skip without them, fail where CI=true")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    for marker in item.iter_markers("needs"):
        for name in marker.args:
            if name not in CAPABILITIES:
                pytest.fail(f"no such capability: {name!r}; there are {sorted(CAPABILITIES)}", pytrace=False)
            needs(has_capability(name), name)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable():
    """Names that are not UTF-8 stand in many reports, and what carries reports between processes takes only text that is."""
    return _encodable((yield))


def _encodable(data):
    if isinstance(data, str):
        return data.encode("utf-8", "backslashreplace").decode()
    if isinstance(data, dict):
        return {_encodable(key): _encodable(value) for key, value in data.items()}
    return type(data)(map(_encodable, data)) if isinstance(data, list | tuple) else data
