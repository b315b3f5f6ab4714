"""What fits: memory decides, and more of it never makes a model fit worse."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lastro.gateway.offline.catalogue import BITS, CATALOGUE, Known, find_in_catalogue
from lastro.gateway.offline.fit import (
    ENGINE_BYTES,
    LARGEST_CONTEXT,
    LEAST_CONTEXT,
    Gpu,
    Machine,
    Verdict,
    context_for,
    fits,
    inspect_machine,
    parse_gpus,
)
from lastro.gateway.offline.models import OfflineModel
from lastro.gateway.provider import ToolSupport

GIB = 1024**3
ORDER = [Verdict.NO, Verdict.TIGHT, Verdict.YES]
MODELS = st.builds(
    OfflineModel,
    name=st.just("m"),
    digest=st.just(""),
    architecture=st.just("llama"),
    size=st.integers(1, 40 * GIB),
    context=st.sampled_from([0, 1024, 4096, 8192, 262_144]),
    cache_bytes=st.integers(0, 1_000_000),
)
BYTES = st.integers(0, 100 * GIB)


@given(st.one_of(MODELS, st.sampled_from(CATALOGUE)), BYTES, BYTES, BYTES)
def test_more_memory_never_fits_worse(model, memory, more, used):
    def verdict(total):
        return fits(model, Machine(memory=total, available=max(0, total - used), cores=1)).verdict

    assert ORDER.index(verdict(memory)) <= ORDER.index(verdict(memory + more))


@given(MODELS, BYTES, st.integers(1, 8))
def test_the_context_always_fits_into_the_memory(model, available, parallel):
    context = context_for(model, available, parallel=parallel)
    assert context == 0 or model.size + context * parallel * model.cache_bytes <= available
    assert context <= min(model.context or LARGEST_CONTEXT, LARGEST_CONTEXT)
    assert context == 0 or context >= min(LEAST_CONTEXT, model.context or LEAST_CONTEXT)


def test_conversations_at_once_share_the_memory():
    model = OfflineModel(
        name="m", digest="", architecture="llama", size=1000, context=8192, cache_bytes=100_000
    )
    available = 1000 + ENGINE_BYTES + 8192 * 100_000
    assert [context_for(model, available, parallel=n) for n in (1, 2, 4, 5)] == [8192, 4096, 2048, 0]
    assert context_for(model, available - 1) == 8192 - 256


def test_a_gpu_counts_like_memory():
    large = find_in_catalogue("qwen2.5-coder-32b")
    small = Machine(memory=8 * GIB, available=4 * GIB, cores=4)
    assert fits(large, small).verdict is Verdict.NO
    gpu = Gpu(name="A", memory=48 * GIB, free=40 * GIB)
    assert (
        fits(large, Machine(memory=8 * GIB, available=4 * GIB, cores=4, gpus=(gpu,))).verdict is Verdict.YES
    )
    assert "bytes" in str(fits(large, small).reason)


def test_the_gpu_tool_s_answer_is_read_and_other_lines_are_left_out():
    said = "NVIDIA H200, 143771, 143158\nfailed\nOdd, [N/A], 5\n"
    assert parse_gpus(said) == (Gpu(name="NVIDIA H200", memory=143771 << 20, free=143158 << 20),)


def test_this_machine_has_something():
    machine = inspect_machine()
    assert 0 < machine.available <= machine.memory
    assert machine.cores >= 1


def test_the_catalogue_says_only_what_it_knows():
    assert len({model.name for model in CATALOGUE}) == len(CATALOGUE)
    for model in CATALOGUE:
        assert model.licence and model.context and model.good_for
        assert model.quantisation in BITS
        assert (model.package is None) == (model.hub != "")
        assert bool(model.size) == bool(model.digest) == (model.known is Known.MEASURED)
        assert model.memory > model.weights > model.parameters / 4
        assert model.fetch.startswith(("lastro gateway models pull", "hf download"))
    assert find_in_catalogue("smollm2").tools is ToolSupport.NO
