"""A gateway's recorder in a process that is killed at random instants, again and again, on one home. Run by ``test_recorder_killed``.

What it acknowledges goes to a file, a line each, before it goes on: ``b N`` (began), ``e N`` (ended).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time

from tests.exchange_kit import Desk, begin, bodies, finish


def record(place, first, chance):
    """Begin and end exchanges until killed."""
    told = os.open(f"{place}/told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    desk = Desk(place)
    desk.kit.secret = read_secret(place)
    with desk.open(interval_s=0.005, ledger=f"{place}/ledger.sqlite") as (_, _, recorder):
        number, running = first, []
        while True:
            recorder.begin(begin(number))
            os.write(told, b"b %d\n" % number)
            running.append(number)
            number += 1
            while running and chance.random() < 0.6:
                ending = running.pop(chance.randrange(len(running)))
                recorder.end(finish(ending), bodies(f"ask {ending}") if ending % 3 else None)
                os.write(told, b"e %d\n" % ending)
            if chance.random() < 0.3:
                time.sleep(chance.random() / 200)


def read_secret(place):
    from lastro.store.recovery import KeyFile  # noqa: PLC0415  only here

    with open(f"{place}/key", "rb") as file:
        return KeyFile(file.read())


def wait_for_growth(path, size):
    """Until the file has so many more bytes: an instant that the child's work decides, not the machine's load."""
    before = os.path.getsize(path) if os.path.exists(path) else 0
    deadline = time.monotonic() + 30
    while (os.path.getsize(path) if os.path.exists(path) else 0) < before + size:
        if time.monotonic() > deadline:
            sys.exit("the child does nothing")
        time.sleep(0.001)


def main(place, rounds, seed):
    desk = Desk(place)
    with desk.open():
        pass
    with open(f"{place}/key", "wb") as file:
        file.write(desk.kit.secret.content)
    chance = random.Random(seed)
    for number in range(rounds):
        child = os.fork()
        if child == 0:
            try:
                record(place, 100_000 * number, random.Random(seed + number))
            finally:
                os._exit(1)
        if number % 4 == 3:
            time.sleep(chance.random() / 20)  # while it settles what the one before left
        else:
            wait_for_growth(f"{place}/told", chance.randint(50, 1500))
            time.sleep(chance.random() / 100)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(f"round {number} ended by itself")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
