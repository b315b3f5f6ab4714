"""What the Makefile calls to look after the project. Nothing here is installed."""
