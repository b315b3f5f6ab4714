"""Signing in: sessions, passkeys, second factors, tokens, one-time links. Who somebody *is* and what they may do is in the log.

A human of this keeper is whoever the log's approver records name: their keys, and their roles. What lies here is only how a browser or a
program proves to be that human. Losing it loses nothing but the signing in (``lastro login`` makes a new link).
"""
