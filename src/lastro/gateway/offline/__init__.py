"""Models that answer on this machine, without a network: which there are, what fits, fetching them, and the engine that runs them."""
