"""The API for programs with a token: who comes in, what they reach, and how what takes longer is answered."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from lastro.app.event_feed import EventFeed
from lastro.app.jobs.store import SqlJobs
from lastro.app.operation import Place, all_operations
from lastro.app.permissions import Right, right_of, rights_of
from lastro.app.visiting import Visit
from lastro.catalogue.database import open_memory
from lastro.domain.policy import HumanRole
from lastro.errors import DeniedError
from lastro.faces.console import guard
from lastro.faces.http.remote import LARGEST_BODY, remote_api, wanted_wait_s
from tests.console_kit import COOKIE, services_of_home
from tests.unit.faces.http.token_door import TokenDoor


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    with services_of_home(tmp_path_factory.mktemp("home")) as opened:
        jobs = SqlJobs(open_memory(), changed=lambda *_: None)
        feed = EventFeed()
        services = replace(opened, jobs=jobs)
        feed.attach(services)
        threads = ThreadPoolExecutor(4)
        application = remote_api(
            door=TokenDoor(),
            visit=lambda principal: Visit(services, jobs, principal),
            feed=feed,
            threads=threads,
            stopping=asyncio.Event(),
            cookie=COOKIE,
            hosts=lambda header: guard.allowed_host(header, ("console.test",)),
        )
        yield TestClient(application, base_url="http://localhost:8420")
        threads.shutdown()


def ask(api, name, body=None, *, token="ana:owner", **headers):
    shown = {"authorization": f"Bearer {token}"} if token else {}
    return api.post(f"/api/v1/{name}", json=body or {}, headers={**shown, **headers})


@pytest.mark.parametrize("token", ["", "nobody", "x" * 5000])
def test_without_a_good_token_nothing_is_reached(api, token):
    for name in ("status", "no.such.operation", "proposal.decide"):
        answer = ask(api, name, token=token)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="lastro"'
        assert "lastro token add" in answer.json()["hint"]
    assert api.get("/api/v1/openapi.json").status_code == 401


def test_a_session_of_a_browser_reads_events_and_calls_nothing(api):
    cookie = {"cookie": f"{COOKIE}=ana:owner"}
    assert api.get("/api/v1/openapi.json", headers=cookie).status_code == 200
    assert api.post("/api/v1/status", json={}, headers=cookie).status_code == 401


def test_a_foreign_host_name_is_no_name_of_this_server(api):
    assert ask(api, "status", host="evil.example").status_code == 421
    assert ask(api, "status", host="console.test").status_code == 200


def test_every_operation_is_refused_without_its_right(api):
    """The walk: each operation with each role. What a role may not do is 403, and a step of another one is for nobody."""
    refused = reached = 0
    for operation in all_operations():
        for role in HumanRole:
            try:
                allowed = right_of(operation) in rights_of([role.value])
            except DeniedError:
                allowed = False
            if allowed and operation.place is not Place.CALLER:
                continue  # it would be carried out
            answer = ask(api, operation.name, token=f"ana:{role.value}", prefer="wait=0")
            if allowed:
                reached += 1
                assert answer.status_code in {202, 400}, (operation.name, role, answer.text)
            else:
                refused += 1
                assert answer.status_code == 403, (operation.name, role, answer.text)
    assert refused > 100
    assert reached > 10


def test_somebody_without_any_role_may_not_even_look(api):
    assert ask(api, "status", token="ana:").status_code == 403


def test_a_scope_is_at_most_what_the_human_may():
    assert Right.ADMINISTER not in rights_of(["approver"])


def test_what_needs_a_users_own_rights_becomes_a_job(api):
    answer = ask(api, "capture", prefer="wait=0")
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/jobs/{answer.json()['job']}"
    assert answer.json()["state"] == "queued"
    again = ask(api, "capture", prefer="wait=0", **{"idempotency-key": "one"})
    same = ask(api, "capture", prefer="wait=0", **{"idempotency-key": "one"})
    assert again.json()["job"] == same.json()["job"] != answer.json()["job"]


def test_a_passphrase_is_never_kept_in_a_job(api):
    answer = ask(api, "proposal.approve", {"proposal": "proposal-1", "passphrase": "correct horse"})
    assert answer.status_code == 403
    assert "terminal" in answer.json()["hint"]
    jobs = ask(api, "job.list").text
    assert "correct horse" not in jobs


def test_a_misspelt_field_is_refused_by_its_name(api):
    answer = ask(api, "log", {"pth": "/etc"})
    assert answer.status_code == 400
    assert answer.json()["parameters"]["name"] == "pth"
    assert "reference" in answer.json()["parameters"]["fields"]


@pytest.mark.parametrize("name", ["a\0b", {"b64": "YQBi"}])
def test_a_text_that_no_path_holds_is_refused(api, name):
    answer = ask(api, "find", {"name": name})
    assert answer.status_code == 400
    assert "NUL" in answer.json()["message"]


def test_a_number_that_no_database_holds_is_refused(api):
    assert ask(api, "job.list", {"before": 2**63}).status_code == 400
    assert ask(api, "job.list", {"before": 2**63 - 1}).status_code == 200


def test_a_body_that_is_too_large_is_refused(api):
    answer = api.post(
        "/api/v1/log", content=b" " * (LARGEST_BODY + 1), headers={"authorization": "Bearer ana:owner"}
    )
    assert answer.status_code == 413


def test_what_no_route_takes_is_an_error_like_any_other(api):
    shown = {"authorization": "Bearer ana:owner"}
    assert api.get("/api/v1/status", headers=shown).json()["code"] == "usage"
    assert api.get("/api/v1/status", headers=shown).headers["allow"] == "POST"
    assert api.get("/api/v9", headers=shown).json()["code"] == "not_found"


def test_the_description_has_every_operation_that_can_be_asked_for_and_no_other(api):
    described = api.get("/api/v1/openapi.json", headers={"authorization": "Bearer ana:viewer"}).json()
    assert described["openapi"] == "3.1.0"
    expected = {f"/api/v1/{one.name}" for one in all_operations() if not one.internal and _may_be_asked(one)}
    assert set(described["paths"]) == expected
    assert described["paths"]["/api/v1/restore"]["post"]["x-right"] == "restore"
    assert "202" in described["paths"]["/api/v1/restore"]["post"]["responses"]
    assert "202" not in described["paths"]["/api/v1/log"]["post"]["responses"]
    assert json.dumps(described).count("additionalProperties") >= len(expected)


def _may_be_asked(operation):
    try:
        right_of(operation)
    except DeniedError:
        return False
    return True


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 20),
        ("wait=0", 0),
        ("wait=7", 7),
        ("respond-async, wait=9", 9),
        ("wait=999999", 120),
        ("await=3", 20),
    ],
)
def test_how_long_a_program_wants_to_wait(header, seconds):
    assert wanted_wait_s(header) == seconds


@pytest.mark.parametrize("after", ["99999999999999999999", "--1", "1_000", "\u0661", "9" * 4000, "x"])
def test_an_id_that_no_log_has_is_refused_before_anything_is_read(api, after):
    answer = api.get(
        "/api/v1/events", params={"after": after}, headers={"authorization": "Bearer ana:viewer"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "usage")


@pytest.mark.parametrize(
    "body", [b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"x":' * 50_000 + b"1" + b"}" * 50_000]
)
def test_what_is_nested_too_deep_is_no_defect_of_ours(api, body):
    answer = api.post("/api/v1/log", content=body, headers={"authorization": "Bearer ana:owner"})
    assert (answer.status_code, answer.json()["code"]) == (400, "protocol")
