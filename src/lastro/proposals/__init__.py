"""Review: what a human is asked, in files and hunks; policy, approvals and decisions; what of it may be applied."""
