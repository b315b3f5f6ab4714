from __future__ import annotations

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.jail.seccomp import instructions

ALLOW = 0x7FFF_0000
ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
MACHINES = st.sampled_from(sorted(ARCHITECTURES))


def decide(machine, number, *arguments, architecture=None):
    """Run the filter as the kernel does: what it answers for one call."""
    data = struct.pack(
        "=iIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *(*arguments, *[0] * 6)[:6]
    )
    program = [struct.unpack("=HBBI", step) for step in _pieces(instructions(machine))]
    value = at = 0
    while True:
        code, when, otherwise, operand = program[at]
        at += 1
        if code == 0x20:
            value = struct.unpack_from("=I", data, operand)[0]
        elif code == 0x06:
            return operand
        else:
            true = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
            at += when if true else otherwise


def _pieces(program):
    return [program[at : at + 8] for at in range(0, len(program), 8)]


@pytest.mark.parametrize(
    ("machine", "number"),
    [("x86_64", 165), ("x86_64", 250), ("x86_64", 321), ("aarch64", 40), ("aarch64", 219), ("x86_64", 425)],
)
def test_what_reaches_past_a_jail_is_refused(machine, number):
    assert decide(machine, number) == 0x0005_0000 | errno.EPERM


@pytest.mark.parametrize(("machine", "clone", "unshare"), [("x86_64", 56, 272), ("aarch64", 220, 97)])
def test_new_namespaces_are_refused_and_threads_and_children_are_not(machine, clone, unshare):
    for flag in (0x1000_0000, 0x2_0000, 0x4000_0000, 0x2000_0000, 0x200_0000, 0x400_0000, 0x800_0000):
        assert decide(machine, clone, flag | 17) == 0x0005_0000 | errno.EPERM
        assert decide(machine, unshare, flag) == 0x0005_0000 | errno.EPERM
    assert decide(machine, unshare, 0x80) == 0x0005_0000 | errno.EPERM
    assert decide(machine, clone, 17) == ALLOW  # fork
    assert decide(machine, clone, 0x3D_0F00) == ALLOW  # a thread
    assert decide(machine, clone, 0x4111) == ALLOW  # vfork
    assert decide(machine, unshare, 0x400) == ALLOW  # files
    assert decide(machine, 435) == 0x0005_0000 | errno.ENOSYS  # clone3


@given(machine=MACHINES, request=st.integers(0, 2**32 - 1))
def test_no_keys_are_typed_for_a_human(machine, request):
    number = {"x86_64": 16, "aarch64": 29}[machine]
    refused = request in {0x5412, 0x541C}
    assert (decide(machine, number, 1, request) == ALLOW) is not refused


@given(machine=MACHINES, number=st.integers(0, 500), architecture=st.integers(1, 2**32 - 1))
def test_a_foreign_architecture_has_no_calls(machine, number, architecture):
    if architecture != ARCHITECTURES[machine]:
        assert decide(machine, number, architecture=architecture) == 0x0005_0000 | errno.ENOSYS
    assert decide(machine, number | 0x4000_0000) == 0x0005_0000 | errno.ENOSYS


def test_a_machine_without_a_table_gets_no_filter():
    assert instructions("riscv64") == b""
