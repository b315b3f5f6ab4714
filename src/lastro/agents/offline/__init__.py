"""The small agent that Lastro brings along: a model, six tools and a loop. It runs inside a jail, and imports only what it needs.

It shows that the way from a task to a proposal works without any coding tool and without a net; it is no match for a real one.
"""
