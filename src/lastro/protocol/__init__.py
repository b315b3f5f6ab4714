"""The node protocol, sans-I/O: frames in, events out, frames out. ``docs/protocol.md`` is the normative text.

``messages`` are what travels, ``codec`` turns them into frames and back, ``node_session`` and ``keeper_session`` are the two state
machines, ``tree_parts``, ``fetch_sender`` and ``fetch_receiver`` make and open the parts of streams (in whatever thread has the
time). Nothing here waits, opens or connects; a driver only moves frames.
"""
