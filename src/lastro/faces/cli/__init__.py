"""The command line: a tree of commands derived from the operation table, and what a terminal shows of the replies."""
