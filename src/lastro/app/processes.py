"""The processes that stay, by the names that faces call them."""

from __future__ import annotations

from lastro.app.keeper_process import serve_keeper
from lastro.app.node_process import pair_node, serve_node
from lastro.app.up import up

__all__ = ["pair_node", "serve_keeper", "serve_node", "up"]
