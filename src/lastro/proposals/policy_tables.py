"""What may stand in ``policy.toml`` and a project's ``.lastro/policy.toml`` and ``project.toml``: tables as nouns, and their schemas.

The nouns say what the files say, in the files' own words (``"30m"``, ``"4GiB"``, dollars); ``policy_file`` and ``checks_file`` make the
domain's nouns of them. What always holds: every table refuses a key that it does not know. ``None``: the file says nothing of it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, field

from lastro.domain.policy import ActionRule, Enforcement, HumanRole, NetworkMode
from lastro.gateway.configuration_file import NAME_PATTERN
from lastro.proposals.globs import LONGEST

NO_LIMIT: Final = "none"
MOST_PATTERNS: Final = 1000
"""In one list."""


def _either(description: str, pattern: str) -> Meta:
    return Meta(
        description=description,
        extra_json_schema={
            "anyOf": [
                {"type": "string", "pattern": pattern},
                {"type": "integer", "minimum": 1},
                {"type": "null"},
            ]
        },
    )


_TIME: Final = r"([0-9]+(\.[0-9]+)?\s*([sS]|[mM]|[mM][iI][nN]|[hH]|[dD]|[wW])\s*)+"
_SIZE: Final = r"[0-9]+(\.[0-9]+)?\s*([KkMmGgTt]?[Ii]?[Bb])?"

Time = Annotated[
    str | int | None, _either('A time, as "90s", "30m", "2h", "1d"; a number is seconds.', f"^\\s*{_TIME}$")
]
TimeLimit = Annotated[
    str | int | None,
    _either(
        'The most time, as "90s", "30m", "2h"; a number is seconds; "none": no limit.',
        f"^\\s*({_TIME}|none)$",
    ),
]
SizeLimit = Annotated[
    str | int | None,
    _either('The most bytes, as "512MiB" or "2GB"; "none": no limit.', f"^\\s*({_SIZE}|none)\\s*$"),
]
CountLimit = Annotated[str | int | None, _either('A whole number of at least 1; "none": no limit.', "^none$")]
MoneyLimit = Annotated[
    str | int | float | None,
    Meta(
        description='US dollars, as "5.00" or 5.00, at most six decimals; "none": no limit.',
        extra_json_schema={
            "anyOf": [
                {"type": "string", "pattern": r"^\s*([0-9]+(\.[0-9]+)?|none)\s*$"},
                {"type": "number", "minimum": 0},
                {"type": "null"},
            ]
        },
    ),
]
ProcessorsLimit = Annotated[
    str | int | float | None,
    Meta(
        description='Processors at once, such as 2 or 0.5; "none": no limit.',
        extra_json_schema={
            "anyOf": [
                {"type": "string", "pattern": "^none$"},
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "null"},
            ]
        },
    ),
]
Pattern = Annotated[str, Meta(min_length=1, max_length=LONGEST, description="A pattern, as in .gitignore.")]


Patterns = Annotated[tuple[Pattern, ...], Meta(max_length=MOST_PATTERNS)]
Hosts = Annotated[tuple[str, ...], Meta(max_length=MOST_PATTERNS)]


_READ: Final = Meta(description="What may be read in the project; everything if missing.")
_DENY_READ: Final = Meta(description="What is shown empty; wins over read.")
_WRITE: Final = Meta(description="What may be written in the project; nothing if missing.")
_DENY_WRITE: Final = Meta(description="What may not be written; wins over write.")
_EXECUTE: Final = Meta(
    description="Programs that may be run, from the first slash on; any that the jail shows if missing."
)
_NETWORK: Final = Meta(
    description="none: nothing; gateway: the gateway alone; listed: the hosts in hosts too, through a filtering proxy."
)
_HOSTS: Final = Meta(description="NAME:PORT that may be connected to with network = listed.")
_ACTION: Final = "propose: it may propose this; deny: it may not."
_LIMITS: Final = Meta(description="The most that one run may use.")


class LimitsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``limits`` of a role: the most that one run may use. A number or text with its unit; ``"none"``: no limit."""

    wall: TimeLimit = None
    memory: SizeLimit = None
    processes: CountLimit = None
    processors: ProcessorsLimit = None
    disk: SizeLimit = None
    files: CountLimit = None
    tokens: CountLimit = None
    money: MoneyLimit = None


class RoleTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[roles.NAME]``: what an agent with this role may do. Of a built-in role, what is missing stays as it is built in."""

    read: Annotated[Patterns | None, _READ] = None
    deny_read: Annotated[Patterns | None, _DENY_READ] = None
    write: Annotated[Patterns | None, _WRITE] = None
    deny_write: Annotated[Patterns | None, _DENY_WRITE] = None
    execute: Annotated[Patterns | None, _EXECUTE] = None
    network: Annotated[NetworkMode | None, _NETWORK] = None
    hosts: Annotated[Hosts | None, _HOSTS] = None
    package: Annotated[ActionRule | None, Meta(description=f"Installing packages. {_ACTION}")] = None
    service: Annotated[ActionRule | None, Meta(description=f"Restarting services. {_ACTION}")] = None
    sql: Annotated[ActionRule | None, Meta(description=f"SQL on a database. {_ACTION}")] = None
    command: Annotated[ActionRule | None, Meta(description=f"Commands outside the jail. {_ACTION}")] = None
    limits: Annotated[LimitsTable, _LIMITS] = LimitsTable()


class EveryRoleTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[every_role]`` of a project: caps for all roles; a role that has less keeps it."""

    deny_read: Annotated[Patterns, _DENY_READ] = ()
    deny_write: Annotated[Patterns, _DENY_WRITE] = ()
    network: Annotated[NetworkMode | None, _NETWORK] = None
    package: Annotated[ActionRule | None, Meta(description=f"Installing packages. {_ACTION}")] = None
    service: Annotated[ActionRule | None, Meta(description=f"Restarting services. {_ACTION}")] = None
    sql: Annotated[ActionRule | None, Meta(description=f"SQL on a database. {_ACTION}")] = None
    command: Annotated[ActionRule | None, Meta(description=f"Commands outside the jail. {_ACTION}")] = None
    limits: Annotated[LimitsTable, _LIMITS] = LimitsTable()


class ReviewTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``[[review]]``: who approves changes of some paths. Of several that match a path the last one counts."""

    paths: Annotated[
        tuple[Pattern, ...],
        Meta(min_length=1, max_length=MOST_PATTERNS, description="Which paths, as patterns."),
    ]
    approvals: Annotated[
        int, Meta(ge=0, le=10, description="How many people; 0: nobody, but for what is run later by itself.")
    ] = 1
    by: Annotated[tuple[HumanRole, ...], Meta(min_length=1, description="Which roles of people may.")] = (
        HumanRole.OWNER,
        HumanRole.APPROVER,
    )
    not_author: Annotated[
        bool,
        Meta(description="Whoever prompted or edited the change does not count, if there is anybody else."),
    ] = True
    cool_down: Annotated[Time, Meta(description="This long between the last approval and the apply.")] = None


class PolicyTables(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``policy.toml`` of the keeper: what agents may do, and who approves what they did."""

    version: Annotated[int, Meta(ge=1, le=1, description="Of this format.")] = 1
    default_role: Annotated[str | None, Meta(description="The role of a run that names none.")] = None
    roles: Annotated[dict[str, RoleTable], Meta(description="Roles by name.")] = field(default_factory=dict)
    review: Annotated[
        tuple[ReviewTable, ...],
        Meta(description="Rules of review; those that are built in stand before them."),
    ] = ()
    forbid_degraded: Annotated[
        tuple[Enforcement, ...] | None,
        Meta(description="No run starts on a host that cannot enforce one of these."),
    ] = None
    expires: Annotated[
        Time, Meta(description="A proposal that nobody decided on is denied after this long.")
    ] = None


class NarrowingTables(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``.lastro/policy.toml`` of a project: takes from the keeper's policy, and can add nothing to it."""

    version: Annotated[int, Meta(ge=1, le=1, description="Of this format.")] = 1
    every_role: Annotated[EveryRoleTable, Meta(description="Caps for all roles.")] = EveryRoleTable()
    roles: Annotated[
        dict[str, RoleTable],
        Meta(description="Less for one role. Each pattern has to lie within one of the keeper's."),
    ] = field(default_factory=dict)
    review: Annotated[
        tuple[ReviewTable, ...], Meta(description="Rules of review that hold on top of the keeper's.")
    ] = ()
    forbid_degraded: Annotated[
        tuple[Enforcement, ...], Meta(description="No run starts on a host that cannot enforce one of these.")
    ] = ()
    expires: Annotated[
        Time, Meta(description="A proposal that nobody decided on is denied after this long.")
    ] = None


class CheckTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of ``[[check]]``: a command that says whether a result is good."""

    name: Annotated[str, Meta(min_length=1, max_length=100, description="Shown to who decides.")]
    command: Annotated[
        tuple[str, ...],
        Meta(min_length=1, max_length=256, description="The program and its arguments; no shell."),
    ]
    timeout: Annotated[Time, Meta(description="It is ended after this long; 10m if missing.")] = None
    paths: Annotated[
        tuple[Pattern, ...],
        Meta(description="Only when one of these changed; always if missing."),
    ] = ()


class ProjectTables(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``.lastro/project.toml``: what a project says of itself."""

    version: Annotated[int, Meta(ge=1, le=1, description="Of this format.")] = 1
    check: Annotated[tuple[CheckTable, ...], Meta(max_length=100, description="Run on every result.")] = ()


SCHEMAS: Final = {
    "policy": (PolicyTables, "policy.toml"),
    "project-policy": (NarrowingTables, ".lastro/policy.toml"),
    "project": (ProjectTables, ".lastro/project.toml"),
}
"""Name of ``docs/NAME.schema.json`` → what stands in the file, and the file's name."""


def schema(name: str = "policy") -> dict[str, Any]:
    """The JSON Schema (2020-12) of one of ``SCHEMAS``, for editors and ``docs``."""
    table, title = SCHEMAS[name]
    (root,), components = msgspec.json.schema_components((table,), ref_template="#/$defs/{name}")
    definitions = {key: dict(part) for key, part in components.items()}
    whole = definitions.pop(root["$ref"].rpartition("/")[2])
    if "roles" in whole["properties"]:
        whole["properties"]["roles"]["propertyNames"] = {"pattern": NAME_PATTERN}
    made: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                **whole,
                "title": title,
                "$defs": definitions,
            }
        )
    )
    return made
