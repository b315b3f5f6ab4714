"""One local service between coding tools and the models of many providers, an offline one among them (``docs/gateway.md``).

It speaks the four dialects that coding tools speak, passes bytes on untouched where provider and tool speak the same one, fails over to
another provider where that can be done unseen, keeps to budgets, and remembers who answered what. It alone holds provider keys.
"""
