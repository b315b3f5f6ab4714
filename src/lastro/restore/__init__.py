"""From recorded states to a plan, pure. What carries a plan out is ``apply``, in the process whose rights it needs."""
