"""Redactors for tests."""

from lastro.domain.clock import SystemClock
from lastro.gateway.redaction.redactor import Redactor

KEY = bytes(range(32))


def redactor(*known, key=KEY, clock=None, **options):
    values = frozenset(known)
    return Redactor(key, sources=[lambda: values], clock=clock or SystemClock(), **options)
