"""The tables of policy files turned into frozen nouns, strictly: whatever is wrong is refused, with its line, its place and what to do."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, TypeVar

import msgspec
from msgspec import Struct

from lastro.domain.policy import (
    ActionRule,
    Enforcement,
    HumanRole,
    NetworkMode,
    Policy,
    ReviewRule,
    Role,
    RunLimits,
)
from lastro.errors import ConfigError
from lastro.gateway.configuration_file import Place, to_micro
from lastro.gateway.configuration_tables import TableReader
from lastro.messages import N_
from lastro.proposals.globs import problem_with
from lastro.proposals.narrowing import ACTIONS, Narrowing, RoleNarrowing
from lastro.proposals.policy import DEFAULT_POLICY
from lastro.proposals.policy_tables import (
    NO_LIMIT,
    CheckTable,
    EveryRoleTable,
    LimitsTable,
    NarrowingTables,
    PolicyTables,
    ReviewTable,
    RoleTable,
)
from lastro.proposals.values import to_bytes_count, to_seconds

PATTERN_LISTS: Final = ("read", "deny_read", "write", "deny_write", "execute")


_Value = TypeVar("_Value")


_TableT = TypeVar("_TableT", bound=Struct)


def parse(text: str, origin: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ConfigError: it is none.
    """
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:  # the second: brackets in brackets without end
        raise ConfigError(
            N_("{path} is not TOML: {reason}"),
            hint=N_("Correct the line it names; nothing of the file takes effect until then."),
            path=origin,
            reason=str(error),
        ) from error


class PolicyReader(TableReader):
    """Makes nouns of one text of the file ``path``. Every method raises ConfigError for what is impossible."""

    choices: ClassVar = {
        "network": NetworkMode,
        "by": HumanRole,
        "forbid_degraded": Enforcement,
        **dict.fromkeys(ACTIONS, ActionRule),
    }
    nested: ClassVar[Mapping[str, type[Struct]]] = {
        "limits": LimitsTable,
        "every_role": EveryRoleTable,
        "roles": RoleTable,
        "review": ReviewTable,
        "check": CheckTable,
    }
    page: ClassVar = "docs/reference/policy.toml.md"

    def policy(self, raw: Mapping[str, Any]) -> Policy:
        """What the keeper's file says."""
        roles = {role.name: role for role in DEFAULT_POLICY.roles}
        for name, table in self.tables(raw, "roles"):
            self.check_name(name, ("roles", name))
            place: Place = ("roles", name)
            roles[name] = self._role(
                self.table(table, RoleTable, place), roles.get(name, Role(name=name)), place
            )
        file = self._rest(raw, PolicyTables)
        default = file.default_role or DEFAULT_POLICY.default_role
        if default not in roles:
            self.unknown(("default_role",), default, roles)
        return Policy(
            version=file.version,
            default_role=default,
            roles=tuple(roles.values()),
            review=(*DEFAULT_POLICY.review, *self._reviews(raw)),
            forbid_degraded=DEFAULT_POLICY.forbid_degraded
            if file.forbid_degraded is None
            else file.forbid_degraded,
            expires_s=self._seconds(file.expires, ("expires",)) or DEFAULT_POLICY.expires_s,
        )

    def narrowing(self, raw: Mapping[str, Any]) -> Narrowing:
        """What a project's file says."""
        if "default_role" in raw:
            self.refuse(
                ("default_role",),
                N_("{where}: {key}: which role is the default is for the keeper's policy to say."),
                N_("Take it out, and name the role at the run: lastro run --role {role}"),
                role=str(raw["default_role"]),
            )
        place: Place = ("every_role",)
        every = self.table(raw.get("every_role", {}), EveryRoleTable, place)
        self._check_lists(every, place)
        file = self._rest(raw, NarrowingTables)
        return Narrowing(
            every_role=RoleNarrowing(
                deny_read=every.deny_read,
                deny_write=every.deny_write,
                network=every.network,
                limits=self._limits(every.limits, (*place, "limits")),
                **{name: getattr(every, name) for name in ACTIONS},
            ),
            roles={name: self._taken(table, name) for name, table in self.tables(raw, "roles")},
            review=self._reviews(raw),
            forbid_degraded=file.forbid_degraded,
            expires_s=self._seconds(file.expires, ("expires",)),
        )

    def _rest(self, raw: Mapping[str, Any], kind: type[_TableT]) -> _TableT:
        """The keys at the top that are no tables."""
        self.check_names(raw, kind, ())
        tables = {"roles", "review", "every_role"}
        return self.table({name: value for name, value in raw.items() if name not in tables}, kind, ())

    def _role(self, table: RoleTable, role: Role, place: Place) -> Role:
        self._check_lists(table, place)
        said = {
            name: getattr(table, name)
            for name in (*PATTERN_LISTS, "network", "hosts", *ACTIONS)
            if getattr(table, name) is not None
        }
        limits = msgspec.structs.replace(role.limits, **self._limits(table.limits, (*place, "limits")))
        return msgspec.structs.replace(role, **said, limits=limits)

    def _taken(self, raw: object, name: str) -> RoleNarrowing:
        place: Place = ("roles", name)
        self.check_name(name, place)
        table = self.table(raw, RoleTable, place)
        self._check_lists(table, place)
        return RoleNarrowing(
            read=table.read,
            deny_read=table.deny_read or (),
            write=table.write,
            deny_write=table.deny_write or (),
            execute=table.execute,
            network=table.network,
            hosts=table.hosts,
            limits=self._limits(table.limits, (*place, "limits")),
            **{name: getattr(table, name) for name in ACTIONS},
        )

    def _reviews(self, raw: Mapping[str, Any]) -> tuple[ReviewRule, ...]:
        tables = raw.get("review", [])
        if not isinstance(tables, list):
            self.wrong(("review",), "expected [[review]], in two pairs of brackets")
        return tuple(self._review(table, ("review", number)) for number, table in enumerate(tables))

    def _review(self, raw: object, place: Place) -> ReviewRule:
        table = self.table(raw, ReviewTable, place)
        self.check_patterns(table.paths, (*place, "paths"))
        return ReviewRule(
            paths=table.paths,
            approvals=table.approvals,
            by=table.by,
            not_author=table.not_author,
            cool_down_s=self._seconds(table.cool_down, (*place, "cool_down")) or 0,
        )

    def _check_lists(self, table: RoleTable | EveryRoleTable, place: Place) -> None:
        for name in PATTERN_LISTS:
            self.check_patterns(getattr(table, name, None) or (), (*place, name))
        for number, pattern in enumerate(getattr(table, "execute", None) or ()):
            if not pattern.startswith("/"):
                self.wrong((*place, "execute", number), "expected a pattern from the first slash on")
        for number, host in enumerate(getattr(table, "hosts", None) or ()):
            name, _, port = host.rpartition(":")
            if not name or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
                self.wrong((*place, "hosts", number), "expected NAME:PORT, such as pypi.org:443")

    def check_patterns(self, patterns: Sequence[str], place: Place) -> None:
        """Refuse a pattern that cannot be used."""
        for number, pattern in enumerate(patterns):
            if problem := problem_with(pattern):
                self.wrong((*place, number), f'"{pattern}": {problem}')

    def _limits(self, table: LimitsTable, place: Place) -> dict[str, int | float | None]:
        """Fields of ``RunLimits`` that the table says something of."""
        found: dict[str, int | float | None] = {}
        for name in LimitsTable.__struct_fields__:
            written = getattr(table, name)
            if written is None:
                continue
            read = _READERS[name]
            found["wall_s" if name == "wall" else name] = (
                None if written == NO_LIMIT else self.read(read, written, (*place, name))
            )
        assert found.keys() <= set(RunLimits.__struct_fields__)
        return found

    def _seconds(self, written: str | int | None, place: Place) -> int | None:
        return None if written is None else self.read(to_seconds, written, place)

    def read(self, reader: Callable[[Any], _Value], written: object, place: Place) -> _Value:
        """``written`` read by ``reader``, refused where that cannot."""
        try:
            return reader(written)
        except ValueError:
            self.wrong(place, f"expected {_EXPECTED[reader]}")


def _count(written: object) -> int:
    if not isinstance(written, int) or not 1 <= written <= 2**53:
        raise ValueError(written)
    return written


def _processors(written: object) -> float:
    if isinstance(written, str) or not isinstance(written, int | float) or not 0 < written <= 100_000:
        raise ValueError(written)
    return float(written)


_READERS: Final[Mapping[str, Callable[[Any], int | float]]] = {
    "wall": to_seconds,
    "memory": to_bytes_count,
    "processes": _count,
    "processors": _processors,
    "disk": to_bytes_count,
    "files": _count,
    "tokens": _count,
    "money": to_micro,
}


_EXPECTED: Final[Mapping[Callable[[Any], object], str]] = {
    to_seconds: 'a time of at least a second, such as "30m" or "2h"',
    to_bytes_count: 'a size of at least a byte, such as "512MiB" or "4GiB"',
    to_micro: "US dollars, at least 0 and at most six decimals",
    _count: 'a whole number of at least 1, or "none"',
    _processors: 'a number above 0, such as 2 or 0.5, or "none"',
}
