"""What ``lastro project init`` writes: the conventions of a project that people and agents share. Content, so in plain English.

Everything is short, and whatever would change what agents may do stands in comments: a fresh project behaves as one without these files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

README: Final = """# .lastro

How this project works with agents under Lastro. Everything here is a plain file, kept with the project.

| file | what | who writes it |
|---|---|---|
| `policy.toml` | narrows what agents may do in this project; it can never allow more than the keeper's policy | people |
| `project.toml` | checks that run on every result before a person looks at it | people |
| `roles/ROLE.md` | what is expected of an agent in that role; agents read it | people |
| `decisions/NNNN-title.md` | one decision each: context, choice, consequences; never edited, only superseded | both |
| `contracts/NAME/vN/` | what parts of the project promise one another (OpenAPI, JSON Schema or a README); a change is a new `vN` | both |
| `threads/DATE-SLUG/NNNN-FROM.md` | one message each between agents and people; never edited | both |

Directories appear with their first file. Agents can write neither `policy.toml` nor `roles/`, whatever any policy says. What they write
elsewhere becomes a proposal: a person looks at it (`lastro proposal show`) and approves, edits or rejects it.

    lastro run -- COMMAND        run an agent on a view of this project; nothing here changes until you approve
    lastro policy explain PATH   what a role may do with a path, and who has to approve it
    lastro policy check          whether these files are sound
"""

POLICY: Final = """# What agents may do in this project. This file can only take away from the keeper's policy, never add to it.
# Patterns are those of .gitignore: "src" is src and all in it, "*.sql" any such name, "/docs" from the top.
# "lastro policy check" says whether it is sound; docs/reference/policy.toml.md of Lastro lists all keys.

# [every_role]
# deny_read = ["data/customers"]        # shown empty to every agent
# deny_write = ["/migrations", "LICENSE"]
# limits = {wall = "30m", money = "2.00"}

# [roles.client-agent]
# write = ["/src", "/docs", "/tests"]   # nothing else

# [[review]]                            # on top of what the keeper's rules ask for
# paths = ["/src/payments"]
# approvals = 2
# by = ["owner", "approver"]
"""

_PROJECT: Final = """# What this project says of itself to Lastro.
# A check runs on every result of an agent, in a jail without network, before a person looks; exit status 0 is good.
# The file is read as it was before the run, so no agent can take its own check away.
"""

_EXAMPLE: Final = (("tests", ("make", "test")),)

ROLES: Final[Mapping[str, str]] = {
    "client-agent": """# client-agent

You change this project's own files to do what you were asked, and nothing else.

- Read AGENTS.md, and docs/ and decisions/ where they touch the task, before you change anything.
- Keep to the style of the code beside yours. A change comes with its test.
- Say in your last message what you did, what you did not, and what a reviewer should look at.
""",
    "server-agent": """# server-agent

You change the configuration of a server as it is described in this project.

- Never guess what is installed: look.
- The smallest change that does it, in one file if that is possible; say how it can be checked and how it is taken back.
- Packages, services and SQL you propose; you never run them yourself.
""",
    "orchestrator": """# orchestrator

You divide work between agents and bring its parts together. You change no code.

- Each part gets one task, the files it may change, and how one sees that it is done.
- What two parts promise each other is a contract below `.lastro/contracts/`; what was decided, and why, is below `.lastro/decisions/`.
- A person decides what is open. Ask early, with the choices and what each costs.
""",
    "reviewer": """# reviewer

You read, and change nothing.

- First what could lose data, open a door or break what works; then what is wrong; then what is unclear. No taste.
- Each finding: file and line, what happens, how to see it, what you would do.
- Say what you did not look at.
""",
}

AGENTS: Final = """# {name}: for agents that work here

People own this file; agents read it first and propose changes to it like to any other.

- **Specifications** are in `docs/specs/`: what is wanted. Where one is missing or contradicts the code, ask.
- **Documentation** is in `docs/`; it says what is true now.
- **Configuration** is in `config/`; no key, password or token belongs into any file.
- **Your role** is described in `.lastro/roles/`, decisions are in `.lastro/decisions/`.
{checks}
Change only what the task needs. Your changes become a proposal; a person decides.
"""


def project_text(checks: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """``project.toml`` with ``checks`` (name, command) in comments; with an example where nothing was found."""
    parts = [_PROJECT]
    for name, command in checks or _EXAMPLE:
        words = ", ".join(f'"{word}"' for word in command)
        parts.append(
            f'\n# [[check]]\n# name = "{name}"\n# command = [{words}]\n# timeout = "10m"\n# paths = ["/src", "/tests"]\n'
        )
    return "".join(parts)


def agents_text(name: str, checks: tuple[tuple[str, tuple[str, ...]], ...]) -> str:
    """``AGENTS.md`` of the project called ``name``."""
    lines = "".join(f"- **{check}**: `{' '.join(command)}`\n" for check, command in checks)
    return AGENTS.replace("{name}", name).replace("{checks}", lines)
