"""Who is on the list is who may connect, nobody else, and a change is noticed."""

from __future__ import annotations

import asyncio
import os

import pytest

from lastro.transport.allow_list import (
    AllowedDevice,
    AllowList,
    allow,
    disallow,
    read_allow_list,
    watch_allow_list,
)
from tests.wire import identity


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    keys = str(tmp_path_factory.mktemp("keys"))
    return [AllowedDevice(name=name, certificate=identity(keys, name).certificate) for name in ("one", "two")]


def test_it_holds_what_was_allowed_until_it_is_disallowed(tmp_path, devices):
    directory = str(tmp_path / "allowed")
    assert read_allow_list(directory) == AllowList()
    for device in devices:
        allow(directory, device)
    listed = read_allow_list(directory)
    assert set(listed.devices) == set(devices)
    assert [listed.name_of(device.certificate) for device in devices] == ["one", "two"]
    assert listed.name_of(b"other") is None
    allow(directory, AllowedDevice(name="renamed", certificate=devices[0].certificate))
    assert read_allow_list(directory).name_of(devices[0].certificate) == "renamed"
    assert disallow(directory, devices[0].device)
    assert not disallow(directory, devices[0].device)
    assert read_allow_list(directory).devices == (devices[1],)


def test_a_file_that_is_not_what_it_is_called_lets_nobody_in(tmp_path, devices):
    directory = str(tmp_path)
    allow(directory, devices[0])
    (name,) = os.listdir(directory)
    os.rename(f"{directory}/{name}", f"{directory}/{devices[1].device}.json")
    assert read_allow_list(directory) == AllowList(broken=(f"{directory}/{devices[1].device}.json",))
    for content in (b"", b"{}", b"\xff", b'{"name": 1, "certificate": ""}'):
        with open(f"{directory}/{name}", "wb") as file:
            file.write(content)
        assert read_allow_list(directory).devices == ()
        assert len(read_allow_list(directory).broken) == 2


def test_a_change_is_noticed(tmp_path, devices):
    directory, seen = str(tmp_path), []

    async def watch():
        changed = asyncio.Event()

        def note(listed):
            seen.append(listed)
            changed.set()

        async def until_told():
            await asyncio.wait_for(changed.wait(), 5)
            changed.clear()

        allow(directory, devices[0])
        watching = asyncio.create_task(
            watch_allow_list(directory, read_allow_list(directory), note, interval_s=0.01)
        )
        await asyncio.sleep(0.05)
        assert not seen
        allow(directory, devices[1])
        await until_told()
        disallow(directory, devices[0].device)
        await until_told()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    asyncio.run(watch())
    assert [{device.name for device in listed.devices} for listed in seen] == [{"one", "two"}, {"two"}]
