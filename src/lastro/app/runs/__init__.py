"""Runs of agents, put together: at the caller, a run and its checks; at the keeper, what a run itself may ask of it."""
