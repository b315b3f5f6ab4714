"""Facts of a server become entries. Here: files, through the ``Source`` interface, the only door by which bytes enter a repository."""
