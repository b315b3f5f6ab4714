"""The daemon on a protected server: shows what is there now, to keepers on its allow-list. Holds no history, no key, imports no store."""
