"""The reference's logits: kept by the states that they are made from, and never by the wrong ones."""

import subprocess
import sys

import pytest
import torch
from part1_rlhf import RLHFTrainer
from transformers import GPT2LMHeadModel

from rlhf_course import ReplayMemory
from rlhf_course.rl.ref_logits import KeptLogits, LastStates, Reading
from rlhf_course.rl.reference import ReferenceModel

BATCH, SEQ, GEN, VOCABULARY = 12, 10, 7, 307


@pytest.fixture
def ref_model(tiny_folder):
    return ReferenceModel.from_pretrained(str(tiny_folder), use_value_head=False)


@pytest.fixture
def ids():
    return torch.randint(0, VOCABULARY, (BATCH, SEQ), generator=torch.Generator().manual_seed(3))


@pytest.fixture
def remember(small_args):
    """Makes a memory of these logits, whose other parts do not matter."""

    def make(ids, ref_logits):
        blank = torch.zeros(BATCH, GEN)
        return ReplayMemory(small_args(), ids, blank, blank, torch.zeros(BATCH, SEQ), ref_logits)

    return make


def kept_by(memory) -> type:
    return type(memory._ref_logits)


@pytest.mark.parametrize(
    "passed_on", [lambda logits: logits, lambda logits: logits.detach(), lambda logits: logits.contiguous()]
)
def test_a_minibatchs_logits_are_made_again_from_the_states(ref_model, ids, remember, passed_on, monkeypatch):
    logits = ref_model(ids)
    memory = remember(ids, passed_on(logits))
    assert kept_by(memory) is LastStates
    rows = torch.tensor([7, 2, 11])
    assert torch.allclose(memory.rows(rows).ref_logits, logits[rows], atol=1e-5)
    assert torch.allclose(memory.ref_logits, logits, atol=1e-5)
    assert not memory.ref_logits.requires_grad


def test_whole_logits_are_gone_when_the_rollout_ends(small_args):
    memory = RLHFTrainer(small_args()).rollout_phase()
    held = memory._ref_logits
    assert isinstance(held, LastStates)
    assert held.states.shape == (BATCH, memory.sample_ids.shape[1], 24)  # 24 numbers a token, in place of 307


CHANGED = {
    "a copy": lambda logits: logits.clone(),
    "written to": lambda logits: logits.mul_(0.5),
    "written to by way of a view": lambda logits: (logits[0].zero_(), logits)[1],
    "other rows": lambda logits: logits.flip(0),
    "the same memory in another order": lambda logits: logits.transpose(0, 1).reshape(BATCH, SEQ, -1),
    "a new tensor": lambda logits: torch.randn_like(logits),
}


@pytest.mark.parametrize("change", CHANGED)
def test_logits_that_are_not_the_references_own_stay_as_they_are(ref_model, ids, remember, change):
    passed = CHANGED[change](ref_model(ids))
    wanted = passed.clone()
    memory = remember(ids, passed)
    assert kept_by(memory) is KeptLogits
    assert torch.equal(memory.ref_logits, wanted)


def test_logits_in_the_memory_of_freed_ones_are_not_taken_for_them(ref_model, ids, remember):
    logits = ref_model(ids)
    address = logits.data_ptr()
    del logits
    others = [torch.randn(BATCH, SEQ, VOCABULARY) for _ in range(20)]
    reused = next((one for one in others if one.data_ptr() == address), others[0])
    memory = remember(ids, reused)
    assert torch.equal(memory.ref_logits, reused)


def test_only_the_latest_logits_are_known_by_their_states(ref_model, ids, remember):
    first = ref_model(ids)
    second = ref_model(ids.flip(0))
    assert torch.equal(remember(ids, first).ref_logits, first)
    assert Reading.latest is None, "a reading is used once"
    assert kept_by(remember(ids, second)) is KeptLogits


def test_logits_of_inference_mode_stay_as_they_are(ref_model, ids, remember):
    with torch.inference_mode():
        logits = ref_model(ids)
    assert kept_by(remember(ids, logits)) is KeptLogits


def test_a_model_that_does_more_than_a_product_keeps_its_logits(tiny_folder, ids, remember, monkeypatch):
    plain = GPT2LMHeadModel.forward

    def capped(self, *args, **kwargs):
        output = plain(self, *args, **kwargs)
        output.logits = 0.1 * torch.tanh(10 * output.logits)
        return output

    monkeypatch.setattr(GPT2LMHeadModel, "forward", capped)
    logits = ReferenceModel.from_pretrained(str(tiny_folder), use_value_head=False)(ids)
    memory = remember(ids, logits)
    assert kept_by(memory) is KeptLogits and torch.equal(memory.ref_logits, logits)


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
