"""The repository: chunks, trees and records, encrypted, on any backend. Nothing here but prune ever deletes (``docs/format.md``)."""
