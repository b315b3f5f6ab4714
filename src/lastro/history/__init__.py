"""History: every version of every path, as a projection of the log that can be deleted and is folded again."""
