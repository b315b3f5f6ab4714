"""A console over a real keeper's services, without a socket: who asks is said by the test, what pages answer is looked at as HTML."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from html.parser import HTMLParser

import msgspec
from starlette.testclient import TestClient

from lastro.accounts.accounts import Accounts
from lastro.accounts.database import open_accounts_memory
from lastro.accounts.nouns import Session
from lastro.app.desk import Desk
from lastro.app.door import Entered
from lastro.app.encoding import decode, encode
from lastro.app.failure import failure_of
from lastro.app.keeper_caller import KeeperCaller
from lastro.app.opening import create_repository, open_services
from lastro.app.operation import Place, find_operation
from lastro.app.permissions import Principal, rights_of
from lastro.app.places import find_places
from lastro.app.visiting import Visit, run_in_keeper
from lastro.app.wiring import local_source, person
from lastro.apply.local import LocalDestination
from lastro.domain.clock import SystemClock
from lastro.domain.job import Job, JobState
from lastro.domain.record import Actor
from lastro.errors import LastroError, NotFoundError
from lastro.faces.console.application import Console, Settings
from lastro.faces.console.pages import ALL

COOKIE = "lastro-test"


class DoorOfTests:
    """Whoever holds a name and roles is in: the cookie is ``NAME:ROLE,ROLE``."""

    def __init__(self):
        self.preferences = {}
        self.stepped_up = set()
        self.accounts = Accounts(open_accounts_memory())

    def entered(self, secret):
        name, _, roles = secret.partition(":")
        now = time.time_ns()
        return Entered(
            session=Session(
                id=name,
                human=name,
                uid=person().uid if name == person().name else -1,
                means="password",
                began_ns=now,
                seen_ns=now,
                ends_ns=now + 10**12,
                csrf=f"token-of-{name}",
                stepped_up_ns=now if name in self.stepped_up else 0,
            ),
            principal=Principal(
                actor=Actor(kind="human", name=name, uid=person().uid if name == person().name else -1),
                rights=rights_of(roles.split(",")),
                how="session",
            ),
            preferences=self.preferences.get(name) or self.accounts.preferred.of(name),
        )


class ImmediateJobs:
    """Jobs that are carried out while they are asked for, by this process with its own rights."""

    def __init__(self, services):
        self.services = services
        self.done = []

    def submit(self, order):
        operation = find_operation(order.operation)
        request = decode(order.request, operation.request)
        services = self.services.for_actor(order.asker)
        now = time.time_ns()
        job = Job(
            number=len(self.done) + 1,
            order=order,
            state=JobState.DONE,
            asked_ns=now,
            began_ns=now,
            ended_ns=now,
        )
        try:
            if operation.place is not Place.CALLER:
                reply = run_in_keeper(services, operation, request)
            else:
                reply = operation.run(desk_in_keeper(services), request)
            job = msgspec.structs.replace(job, reply=encode(reply))
        except LastroError as error:
            job = msgspec.structs.replace(job, state=JobState.FAILED, failure=encode(failure_of(error)))
        self.done.append(job)
        return job

    def find(self, number, *, lines_after=0, most_lines=0, until_over_s=0.0):
        del lines_after, most_lines, until_over_s
        if not 0 < number <= len(self.done):
            raise NotFoundError("There is no job-{number}.", number=number)
        return self.done[number - 1], ()

    def newest(self, *, states=(), operation="", subject="", before=0, limit=50):
        return [
            job
            for job in reversed(self.done)
            if (not states or job.state in states)
            and operation in ("", job.order.operation)
            and (not subject or job.order.subject == subject)
            and (not before or job.number < before)
        ][:limit]

    def cancel(self, number):
        return self.find(number)[0]


def desk_in_keeper(services):
    """A desk whose caller is the keeper in this process."""
    places = services.places
    return Desk(
        places=places,
        caller=KeeperCaller(services),
        clock=services.clock,
        actor=services.actor,
        local_source=lambda path: local_source(places, path),
        destination=lambda path: LocalDestination(path, intents=places.intents),
    )


class Html(HTMLParser):
    """What a page says: its text, its links and forms, and every start tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.raw, self.text, self.tags = text, "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag, **attributes):
        return [found for name, found in self.tags if name == tag and attributes.items() <= found.items()]

    @property
    def links(self):
        return [found["href"] for found in self.all("a") if found.get("href")]

    @property
    def words(self):
        return re.sub(r"\s+", " ", self.text).strip()


class Browser:
    """Somebody's browser without scripts: follows links, sends forms."""

    def __init__(self, client, cookie):
        self.client, self.cookie = client, cookie
        self.headers = {"sec-fetch-site": "same-origin", "accept-language": "en"}

    def get(self, path, *, status=200, follow=True, **headers):
        answer = self.client.get(
            path, headers={**self.headers, **self._cookie(), **headers}, follow_redirects=False
        )
        if follow and answer.status_code in {303, 307}:
            return self.get(answer.headers["location"], status=status, **headers)
        assert answer.status_code == status, (answer.status_code, answer.text[:2000])
        return Html(answer.text)

    def post(self, path, fields=None, *, status=200, token=True, **headers):
        """Send a form; a redirection is followed."""
        answer = self.send(path, fields, token=token, **headers)
        if answer.status_code == 303:
            return self.get(answer.headers["location"], status=status)
        assert answer.status_code == status, (answer.status_code, answer.text[:2000])
        return Html(answer.text)

    def send(self, path, fields=None, *, token=True, **headers):
        """Send a form and give the bare answer."""
        data = dict(fields or {})
        if token:
            data.setdefault("csrf", f"token-of-{self.cookie.partition(':')[0]}")
        return self.client.post(
            path, data=data, headers={**self.headers, **self._cookie(), **headers}, follow_redirects=False
        )

    def _cookie(self):
        return {"cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}


class Kit:
    """A console; ``browser("ana", "owner")`` is somebody at it."""

    def __init__(self, services, *, ways=ALL, jobs=None, door=None):
        self.jobs = ImmediateJobs(services) if jobs is None else jobs
        services = replace(services, jobs=self.jobs)
        self.services, self.door = services, door or DoorOfTests()
        self.threads = ThreadPoolExecutor(4)
        console = Console(
            ways=ways,
            door=self.door,
            visit=lambda principal: Visit(services, self.jobs, principal),
            threads=self.threads,
            settings=Settings(names=("console.test",), tls=False, cookie=COOKIE),
            zone=lambda: UTC,
        )
        self.client = TestClient(
            console.application(),
            base_url="http://localhost:8420",
            raise_server_exceptions=True,
            client=("127.0.0.1", 50000),
        )

    @property
    def desk(self):
        """A desk with the rights of whoever runs the tests."""
        return desk_in_keeper(self.services)

    def browser(self, name=None, *roles):
        if name is None:
            return Browser(self.client, "")
        return Browser(self.client, f"{name}:{','.join(roles or ('owner',))}")

    def close(self):
        self.threads.shutdown()


@contextmanager
def console_over(office):
    """A console over the home of an ``Office`` (``decision_kit``), whose desk must not be open meanwhile."""
    with open_services(office.places, writable=True, actor=person(), clock=SystemClock()) as services:
        kit = Kit(services)
        try:
            yield kit
        finally:
            kit.close()


@contextmanager
def services_of_home(home):
    """The services of a new home, which holds nothing yet."""
    places = find_places({"HOME": str(home), "LASTRO_HOME": str(home / "lastro")})
    create_repository(places, person(), SystemClock())
    with open_services(places, writable=True, actor=person(), clock=SystemClock()) as services:
        yield services
