"""Tests of the reference model, and of the states that a replay memory stores in place of its logits."""

import subprocess
import sys

import pytest
import torch
from part1_rlhf import RLHFTrainer
from transformers import GPT2LMHeadModel

from rlhf_course import ReplayMemory
from rlhf_course.rl.ref_logits import RecomputedLogits
from rlhf_course.rl.reference import ReferenceModel

BATCH, SEQ, GEN, VOCABULARY = 12, 10, 7, 307


@pytest.fixture
def ref_model(tiny_folder):
    return ReferenceModel.from_pretrained(str(tiny_folder), use_value_head=False)


@pytest.fixture
def ids():
    return torch.randint(0, VOCABULARY, (BATCH, SEQ), generator=torch.Generator().manual_seed(3))


@pytest.fixture
def memory_of(small_args, ref_model):
    """Makes a memory of these logits, as it is after a rollout; its other tensors are zeros."""

    def make(ids, ref_logits, ref_model=ref_model):
        zeros = torch.zeros(BATCH, GEN)
        memory = ReplayMemory(small_args(), ids, zeros, zeros, torch.zeros(BATCH, SEQ), ref_logits)
        memory.release_ref_logits(ref_model)
        return memory

    return make


def is_recomputed(memory) -> bool:
    return isinstance(memory._ref_logits, RecomputedLogits)


@pytest.mark.parametrize(
    "passed_on", [lambda logits: logits, lambda logits: logits.detach(), lambda logits: logits.contiguous()]
)
def test_a_minibatchs_logits_are_made_again_from_the_states(ref_model, ids, memory_of, passed_on, monkeypatch):
    logits = ref_model(ids)
    memory = memory_of(ids, passed_on(logits))
    assert is_recomputed(memory)
    rows = torch.tensor([7, 2, 11])
    assert torch.allclose(memory.rows(rows).ref_logits, logits[rows], atol=1e-5)
    assert torch.allclose(memory.ref_logits, logits, atol=1e-5)
    assert not memory.ref_logits.requires_grad


def test_whole_logits_are_gone_when_the_rollout_ends(small_args):
    memory = RLHFTrainer(small_args())._checked_rollout()
    assert is_recomputed(memory)
    assert memory._ref_logits.states.shape == (
        BATCH,
        memory.sample_ids.shape[1],
        24,
    )  # 24 numbers a token, in place of 307


CHANGED = {
    "a copy": lambda logits: logits.clone(),
    "written to": lambda logits: logits.mul_(0.5),
    "written to by way of a view": lambda logits: (logits[0].zero_(), logits)[1],
    "other rows": lambda logits: logits.flip(0),
    "the same memory in another order": lambda logits: logits.transpose(0, 1).reshape(BATCH, SEQ, -1),
    "a new tensor": lambda logits: torch.randn_like(logits),
}


@pytest.mark.parametrize("change", CHANGED)
def test_logits_that_are_not_the_references_own_stay_as_they_are(ref_model, ids, memory_of, change):
    passed = CHANGED[change](ref_model(ids))
    expected = passed.clone()
    memory = memory_of(ids, passed)
    assert not is_recomputed(memory)
    assert torch.equal(memory.ref_logits, expected)


def test_logits_in_the_memory_of_freed_ones_are_not_taken_for_them(ref_model, ids, memory_of):
    logits = ref_model(ids)
    address = logits.data_ptr()
    del logits
    others = [torch.randn(BATCH, SEQ, VOCABULARY) for _ in range(20)]
    reused = next((tensor for tensor in others if tensor.data_ptr() == address), others[0])
    memory = memory_of(ids, reused)
    assert torch.equal(memory.ref_logits, reused)


def test_only_the_latest_logits_are_recomputed(ref_model, ids, memory_of):
    first = ref_model(ids)
    second = ref_model(ids.flip(0))
    assert torch.equal(memory_of(ids, first).ref_logits, first)
    assert not is_recomputed(memory_of(ids, second)), "the states of a forward pass are handed out once"


def test_logits_of_inference_mode_stay_as_they_are(ref_model, ids, memory_of):
    with torch.inference_mode():
        logits = ref_model(ids)
    assert not is_recomputed(memory_of(ids, logits))


def test_a_model_that_does_more_than_a_product_keeps_its_logits(tiny_folder, ids, memory_of, monkeypatch):
    plain = GPT2LMHeadModel.forward

    def capped(self, *args, **kwargs):
        output = plain(self, *args, **kwargs)
        output.logits = 0.1 * torch.tanh(10 * output.logits)
        return output

    monkeypatch.setattr(GPT2LMHeadModel, "forward", capped)
    capped_model = ReferenceModel.from_pretrained(str(tiny_folder), use_value_head=False)
    logits = capped_model(ids)
    memory = memory_of(ids, logits, capped_model)
    assert not is_recomputed(memory) and torch.equal(memory.ref_logits, logits)


def test_the_reference_is_frozen_in_eval_mode_and_without_a_head(ref_model):
    assert not any(parameter.requires_grad for parameter in ref_model.parameters())
    assert not ref_model.training and ref_model.value_head is None


def test_the_memory_is_imported_without_the_library_of_language_models():
    seen = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, rlhf_course; rlhf_course.ReplayMemory; print('transformer_lens' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert seen.stdout.strip() == "False"


def test_the_reference_returns_what_the_second_argument_names(ref_model, ids):
    logits, loss = ref_model(ids), ref_model(ids, "loss")
    wanted = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert torch.allclose(loss, wanted, atol=1e-5)
