"""Tests of the given code on a device that is not the CPU, without a GPU: fake tensors, and a phase in bfloat16."""

import inspect
import math
from collections.abc import Iterator

import part1_rlhf
import pytest
import torch
from part1_rlhf import RLHFTrainer
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from rlhf_course import ReplayMemory, RLHFArgs, calc_clipped_surrogate_objective, calc_value_function_loss, get_samples
from rlhf_course.learner_package import trainer_class
from rlhf_course.rl.samples import sample_token

B, GEN, SEQ, VOCAB = 6, 4, 7, 11
ARGS = RLHFArgs(batch_size=B, num_minibatches=3, gen_len=GEN)


@pytest.fixture
def gpu() -> Iterator[torch.device]:
    """A fake device: an operation on its tensors and the CPU's fails, as on a GPU, and nothing is computed."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield torch.device("meta")


def lean_terms(logits: Tensor) -> Tensor:
    parts = inspect.unwrap(trainer_class(lean=True).rollout_phase).__globals__
    hidden, unembedding = logits[0, :, :3].contiguous(), logits[1, :, :3].contiguous()
    chosen, ref = logits[0, :, 0].long(), logits[0, :, : len(unembedding)].log_softmax(-1)
    terms = parts["token_terms"](
        hidden, unembedding, chosen, lambda chunk: ref[chunk], lambda logprobs, chunk: logprobs, 0.1, 0.2
    )
    return terms.grad_unembedding


def a_minibatch(logits: Tensor) -> Tensor:
    gen, ids = logits[:, :GEN, 0], logits[..., 0].long()
    return ReplayMemory(ARGS, ids, gen, gen, logits[..., 0], logits).get_minibatches()[0].returns


GIVEN = {
    "calc_value_function_loss": lambda x: calc_value_function_loss(x[:, :GEN, 0], x[:, :GEN, 1], 0.5, GEN),
    "calc_clipped_surrogate_objective": lambda x: calc_clipped_surrogate_objective(
        x[:, :GEN, 0], x[:, :GEN, 1], x[:, :GEN, 2], 0.2, GEN
    ),
    "ReplayMemory": a_minibatch,
    "sample_token": lambda x: sample_token(x[:, -1], 0.7, top_k=3),
    "sample_token, nucleus": lambda x: sample_token(x[:, -1], 0.7, None, 0.9),
    "lean": lean_terms,
}
ANSWERS = {
    "normalize_reward": lambda x: part1_rlhf.normalize_reward(x[:, 0, 0]),
    "compute_advantages": lambda x: part1_rlhf.compute_advantages(x[..., 0], x[:, 0, 1], SEQ - GEN),
    "calc_kl_penalty": lambda x: part1_rlhf.calc_kl_penalty(x[:, :GEN], x[:, 1 : GEN + 1], 0.3, GEN),
    "calc_entropy_bonus": lambda x: part1_rlhf.calc_entropy_bonus(x[:, :GEN], 0.3, GEN),
    "get_logprobs": lambda x: part1_rlhf.get_logprobs(x, x[..., 0].long(), SEQ - GEN),
}


@pytest.mark.parametrize("name", [*GIVEN, *ANSWERS])
def test_what_comes_from_a_gpu_stays_there(gpu, name):
    result = (GIVEN | ANSWERS)[name](torch.empty(B, SEQ, VOCAB, device=gpu))
    assert result.device == gpu


def test_a_tensor_that_stayed_behind_would_be_found(gpu):
    with pytest.raises(RuntimeError, match="device"):
        torch.empty(3, device=gpu) + torch.empty(3)


def test_a_phase_with_products_in_bfloat16_trains(small_args):
    trainer = RLHFTrainer(small_args(kl_coef=0.1))
    trained = trainer.model.get_base_model_trainable_params() + trainer.model.get_value_head_params()
    before = [parameter.detach().clone() for parameter in trained]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert trainer.ref_model(torch.zeros(1, 2, dtype=torch.long)).dtype == torch.bfloat16
        ids, texts = get_samples(trainer.model, "the", batch_size=3, gen_len=4)
        objective = trainer.learning_phase(trainer.rollout_phase())
    assert len(ids) == len(texts) == 3
    assert math.isfinite(objective)
    assert all(
        torch.isfinite(after).all() and not torch.equal(after, earlier)
        for after, earlier in zip(trained, before, strict=True)
    )
