"""Places that keep a repository's objects. All obey ``backends.base.Backend``; the conformance suite is in ``tests/conformance``."""
