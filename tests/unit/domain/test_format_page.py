"""``docs/format.md`` is what an independent reader has: it names every field of a record."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lastro.domain import record
from lastro.domain.record import RecordKind

PAGE = (Path(__file__).resolve().parents[3] / "docs/format.md").read_text()
BODIES = {
    RecordKind.RUN: record.RunBody,
    RecordKind.RUN_STATE: record.RunStateBody,
    RecordKind.PROPOSAL: record.ProposalBody,
    RecordKind.PROPOSAL_REVISION: record.ProposalRevisionBody,
    RecordKind.PROPOSAL_STATE: record.ProposalStateBody,
    RecordKind.DECISION: record.DecisionBody,
    RecordKind.APPROVER: record.ApproverBody,
}


@pytest.mark.parametrize("kind", BODIES)
def test_each_field_of_a_record_is_on_the_page_and_no_other(kind):
    row = re.search(rf"^\| `{kind.value}` \| (.*) \|$", PAGE, re.MULTILINE)
    assert row is not None
    told = re.sub(r"\((?:[^()]|\([^()]*\))*\)", "", row[1])  # what is said of a field stands in brackets
    assert set(re.findall(r"`([a-z_]+)`", told)) == set(BODIES[kind].__struct_fields__)
