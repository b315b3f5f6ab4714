"""The API does what its description says: schemathesis asks every operation over a real socket, with what fits its schema and with what
does not. Operations that touch a user's files become jobs which nobody takes here, so nothing of this machine is written.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import SchemathesisConfig

from lastro.app.jobs.store import SqlJobs
from lastro.app.operation import all_operations
from lastro.catalogue.database import open_memory
from lastro.faces.http.openapi import remote_document
from lastro.faces.http.remote import open_operations
from tests.console_kit import services_of_home
from tests.served_console import served_console
from tests.unit.faces.http.token_door import TokenDoor

pytestmark = pytest.mark.slow

_CONFIG = SchemathesisConfig.from_dict(
    {
        "auth": {"openapi": {"token": {"bearer": "ana:owner"}}},
        "checks": {
            # Rules that no schema can say (there is no such outcome, a passphrase is missing) are 400 too; no gateway runs here, and no
            # server is where a token says: that is 503, and no defect.
            "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "403", "404", "409", "503"]},
            "not_a_server_error": {"expected-statuses": ["2xx", "4xx", "503"]},
        },
    }
)
_DESCRIBED = json.loads(json.dumps(remote_document(dict(open_operations(all_operations())))))
_SCHEMA = schemathesis.openapi.from_dict(_DESCRIBED, config=_CONFIG)


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with services_of_home(tmp_path_factory.mktemp("home")) as services:
        jobs = SqlJobs(open_memory(), changed=lambda *_: None)
        with served_console(replace(services, jobs=jobs), TokenDoor()) as served:
            yield served


@_SCHEMA.exclude(operation_id="gateway.models.pull").parametrize()  # it fetches hundreds of megabytes
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_what_is_described_is_what_happens(case, url):
    if case.method == "GET":
        return  # the stream of events never ends; test_http and test_remote follow it
    case.call_and_validate(base_url=url, headers={"prefer": "wait=0"}, timeout=20)
