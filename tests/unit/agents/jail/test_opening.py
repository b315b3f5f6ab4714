"""A jail is opened before it is known what it holds; one that holds nothing leaves nothing."""

from __future__ import annotations

import os

import psutil
from hypothesis import given
from hypothesis import strategies as st

from lastro.agents.jail.cgroups import GroupPlace, make_group
from lastro.agents.jail.orders import order_bytes, receive
from lastro.agents.jail.probing import interpreter
from lastro.agents.jail.watching import RunningJail
from lastro.domain.policy import RunLimits

WORDS = st.dictionaries(st.text(max_size=5), st.binary(max_size=50) | st.integers() | st.none(), max_size=5)


@given(orders=st.lists(WORDS, max_size=3), rest=st.binary(max_size=5))
def test_orders_arrive_one_by_one_and_nothing_after_them_is_read(
    orders: list[dict[str, object]], rest: bytes
) -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"".join(map(order_bytes, orders)) + rest)
        os.close(writing)
        assert [receive(reading) for _ in orders] == orders
        assert os.read(reading, 10) == rest
    finally:
        os.close(reading)


def test_an_abandoned_jail_leaves_no_process_and_no_group() -> None:
    group = make_group(GroupPlace(), "run-1", RunLimits())
    before = {process.pid for process in psutil.Process().children()}
    open_files = len(os.listdir("/proc/self/fd"))
    jail = RunningJail(interpreter("enter", "main"), group)
    jail.abandon()
    assert {process.pid for process in psutil.Process().children()} <= before
    assert len(os.listdir("/proc/self/fd")) <= open_files
