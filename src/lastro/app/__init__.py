"""Use cases. Every face offers the same operations; permission, audit, plan and events live here once, never in a face."""
