"""Faithful local stand-ins for AI providers: the four dialects on real sockets, with scripted answers and scripted faults.

    async with scripted_upstream([Turn(says=Says(text="hello"))]) as upstream:
        ...                      # ask upstream.base_url + "/chat/completions"
        upstream.requests[0].body

They are written from the providers' own descriptions, not with the codecs of Lastro, so that they can find its mistakes.
"""

from tests.upstreams.faults import Fault, FaultKind
from tests.upstreams.script import Call, Says, Turn
from tests.upstreams.server import Received, ScriptedUpstream, refusing_upstream, scripted_upstream

__all__ = [
    "Call",
    "Fault",
    "FaultKind",
    "Received",
    "Says",
    "ScriptedUpstream",
    "Turn",
    "refusing_upstream",
    "scripted_upstream",
]
