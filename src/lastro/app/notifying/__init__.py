"""Telling people: what they have to know is put into a durable outbox, and goes through the channels that want it.

    event, vigil ──► gathering ──► outbox (state/notices.db) ──► sending ──► a channel (an address that Apprise knows)

What always holds: what was put in is told once it can be, unless it was decided or is over by then; a channel's address is a secret and is
shown nowhere. A notice that was being sent when the power went is sent again: to be told twice is better than never.
"""
