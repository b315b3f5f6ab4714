"""What the doctor says of jails follows from what the host can do, and whatever is missing comes with what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.jail.cgroups import MEMORY, PROCESSES, PROCESSORS, GroupPlace
from lastro.agents.jail.probing import HostAbilities
from lastro.app.diagnosis_jail import findings_of

ALL = (MEMORY, PROCESSES, PROCESSORS)


def host(**fields):
    whole = {
        "root": False,
        "bubblewrap": "/usr/bin/bwrap",
        "overlay": "overlay-user",
        "network": True,
        "sized": True,
        "groups": GroupPlace(kind="v2", directories=dict.fromkeys(ALL, "/sys/fs/cgroup")),
        "landlock": 7,
        "seccomp": True,
    }
    return HostAbilities(**{**whole, **fields})


def warnings(found):
    return [finding for finding in findings_of(found) if finding.state != "good"]


def test_a_host_that_can_do_all_is_good():
    assert warnings(host()) == []


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ({"bubblewrap": "", "missing": {"bubblewrap": "not installed"}}, "apt-get install bubblewrap"),
        ({"bubblewrap": "", "missing": {"bubblewrap": "no"}}, "namespaces"),
        ({"network": False}, "namespaces"),
        ({"overlay": ""}, "LASTRO_HOME"),
        ({"groups": GroupPlace(kind="v1", directories={MEMORY: "/x"})}, "systemd-run"),
        ({"landlock": 0}, "lsm="),
        ({"seccomp": False}, "x86_64"),
    ],
)
def test_each_thing_that_is_missing_is_said_with_what_to_do(lacks, said):
    (finding,) = warnings(host(**lacks))
    assert finding.state == "warning"
    assert said in finding.said.hint


@given(
    st.fixed_dictionaries(
        {
            "root": st.booleans(),
            "bubblewrap": st.sampled_from(["", "/usr/bin/bwrap"]),
            "overlay": st.sampled_from(["", "overlay"]),
            "network": st.booleans(),
            "groups": st.sets(st.sampled_from(ALL)).map(
                lambda names: GroupPlace(kind="v1" if names else "", directories=dict.fromkeys(names, "/x"))
            ),
            "landlock": st.integers(0, 8),
            "seccomp": st.booleans(),
            "missing": st.dictionaries(
                st.sampled_from(["bubblewrap", "network", "overlay"]), st.text(max_size=20)
            ),
        }
    )
)
def test_whatever_a_host_lacks_something_can_be_done(abilities):
    said = list(findings_of(host(**abilities)))
    assert all(finding.topic == "agents" for finding in said)
    assert all(finding.said.hint for finding in said if finding.state != "good")
    needed = ("bubblewrap", "network", "overlay", "landlock", "seccomp")
    whole = all(abilities[name] for name in needed) and len(abilities["groups"].directories) == len(ALL)
    assert whole == all(finding.state == "good" for finding in said)
