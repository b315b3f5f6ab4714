"""The gateway of this home as a process: what ``lastro.gateway`` is made of, put together."""
