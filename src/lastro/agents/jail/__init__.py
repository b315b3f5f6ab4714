"""The kernel's limits around one run. See ``jail.spec`` for what is asked of it.

    supervisor ─► enter.py ─► bwrap ─► inside.py (process 1 of the jail) ─► the agent
                  cgroup,     mounts,   forwarders, ends everything            Landlock, seccomp, limits,
                  overlay     namespaces                                       no capabilities, its own environment

``starting.start`` begins it, ``watching`` holds the limits and ends it. ``kernel``, ``landlock``, ``seccomp``, ``forwarding``, ``enter``
and ``inside`` run in fresh processes without site-packages, so they import the standard library and one another alone.
"""
