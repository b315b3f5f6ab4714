"""A real ``lastro up`` with an owner, for journeys: what agents do is done by ``lastro run``."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import re
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from lastro.accounts import totp
from tests.browser import kit

PASSWORD = "correct horse battery staple"


@contextlib.contextmanager
def up(home, *directories):
    """``lastro up`` in ``home``, until the context ends: the link with which the owner's account is made."""
    environment = {**os.environ, "LASTRO_HOME": home, "LASTRO_LANG": "en", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "lastro", "up", *directories]
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said = []
    links = queue.Queue()

    def listen():
        for line in process.stdout:
            said.append(line)
            if found := re.search(r"https?://\S+/(?:setup|link)#\S+", line):
                links.put(found[0])

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        try:
            yield links.get(timeout=60)
        except queue.Empty:
            raise AssertionError("".join(said)) from None
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        listener.join()
        process.stdout.close()


class Standing:
    """It stands. ``codes``: what the owner's second factor still takes; each is good once."""

    def __init__(self, browser, home, link):
        self.browser, self.home, self.link = browser, Path(home), link
        self.sample = self.home / "sample"
        found = urlsplit(link)
        self.address = f"{found.scheme}://{found.netloc}"
        self.codes = []

    def window(self, **options):
        """Somebody's window, who is not signed in; ``storage_state`` (Playwright's) has them be."""
        return kit.Window(self.browser, self.address, "", **options)

    def lastro(self, *words):
        """What a command answers, as its ``--json`` says it."""
        done = subprocess.run(
            [sys.executable, "-m", "lastro", "--json", *words],
            env={**os.environ, "LASTRO_HOME": str(self.home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        answer = json.loads(done.stdout.splitlines()[-1])
        assert answer["ok"], (answer, done.stderr)
        return answer["reply"]

    def propose(self, script):
        """Have an agent that is a shell's ``script`` work on the sample; the number of its proposal."""
        return self.lastro("run", "--project", str(self.sample), "--", "sh", "-c", script)["proposal"]

    def newcomer(self, window):
        """The first owner, with a password and a second factor, by forms alone; where the first run goes on."""
        page = window.page
        page.goto("/setup")
        page.get_by_label("The link, or what stands in it after #").fill(self.link)
        page.get_by_role("button", name="Go on").click()
        page.get_by_role("button", name="Go on").click()
        page.locator("#name").fill("ana")
        page.locator("#password").fill(PASSWORD)
        page.locator("#again").fill(PASSWORD)
        page.get_by_role("button", name="Go on with a password").click()
        page.get_by_role("heading", name="A second factor").wait_for()
        page.get_by_label(re.compile("Code")).fill(totp_code(window.text()))
        page.get_by_role("button", name="Confirm").click()
        page.get_by_role("heading", name="Your recovery codes").wait_for()
        self.codes = page.locator(".codes li").all_inner_texts()
        page.get_by_role("link", name="I have written them down").click()
        type_group_back(page)
        return page

    def sign_in(self, window):
        """Sign ``window`` in as the owner."""
        page = window.page
        page.get_by_label("Name", exact=True).fill("ana")
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_label(re.compile("Code")).fill(self.codes.pop())
        page.get_by_role("button", name="Sign in", exact=True).click()
        return page


def totp_code(text):
    """The code of this moment for the secret that a page shows among its ``text``."""
    secret = re.search(r"(?:[A-Z2-7]{4} ){7}[A-Z2-7]{4}", text)[0].replace(" ", "")
    return totp.code_of(base64.b32decode(secret), totp.step_at(time.time_ns()))


def type_group_back(page):
    """Read the recovery kit on ``page``, and type back the group that it wants."""
    page.get_by_role("heading", name="Your recovery kit").wait_for()
    groups = re.search(r"(?:[0-9A-Z]{5}-){3,}[0-9A-Z]+", page.inner_text("pre"))[0].split("-")
    page.locator("#group").fill(groups[int(page.locator("input[name=number]").input_value()) - 1])
    page.get_by_role("button", name="I have it").click()


def sign(page, word="Approve and apply"):
    """Type the password for one act."""
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name=word).click()


def tree(directory):
    """What lies below it: path → content."""
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def lapse(standing):
    """Let the five minutes pass for which somebody proved who they are."""
    with contextlib.closing(sqlite3.connect(standing.home / "data/accounts.db")) as database, database:
        database.execute("UPDATE sessions SET stepped_up_ns = 1")


def look_again(page, there):
    """What waits is looked at again by a link, until it is ``there``."""
    for _ in range(40):
        if there.count():
            return
        page.wait_for_timeout(250)
        page.get_by_role("link", name="Look again").click()
    raise AssertionError(page.url)


def approved(page):
    page.get_by_role("status").get_by_text("Approved and applied").wait_for()


def step_up(standing, window, path):
    """Open a dangerous page, and prove who one is."""
    page = window.open(path)
    page.get_by_role("heading", name="Is it you?").wait_for()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_label("Code of your second factor").fill(standing.codes.pop())
    page.get_by_role("button", name="Go on").click()
    page.wait_for_url(f"**{path}")
