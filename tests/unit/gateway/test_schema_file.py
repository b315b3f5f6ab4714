"""The JSON Schema of ``gateway.toml`` that editors use is the one that the code checks with."""

from __future__ import annotations

import json
from pathlib import Path

from lastro.gateway.configuration_file import schema

TOP = Path(__file__).resolve().parents[3]


def test_the_schema_in_the_docs_is_what_the_code_says():
    written = json.loads((TOP / "docs" / "gateway.schema.json").read_text(encoding="utf-8"))
    assert written == schema(), (
        "run: python -m lastro.gateway.configuration schema > docs/gateway.schema.json"
    )
