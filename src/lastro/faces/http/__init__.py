"""The operations over HTTP, on the keeper's own unix socket (``docs/reference/http.md``)."""
