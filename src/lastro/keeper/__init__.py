"""The keeper: pulls from sources, captures, and decides when. Owner of the repository; it applies nothing."""
