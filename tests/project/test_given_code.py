"""Tests of the given code against formulas in float64, on sizes that are odd and distinct."""

import math

import numpy as np
import pytest
import torch
from doubles import TwoPartModel, normal

from rlhf_course import (
    ReplayMemory,
    RLHFArgs,
    calc_clipped_surrogate_objective,
    calc_value_function_loss,
    get_optimizer_and_scheduler,
    get_samples,
)
from rlhf_course.errors import CourseError
from rlhf_course.rl.samples import sample_token

MB, GEN = 5, 7


# Sampling


def test_samples_hold_the_prompt_and_exactly_gen_len_new_tokens(tiny_bridge):
    sample_ids, samples = get_samples(tiny_bridge, "This is", batch_size=3, gen_len=11)
    prompt = tiny_bridge.to_tokens("This is")
    assert sample_ids.shape == (3, prompt.shape[1] + 11)
    assert (sample_ids[:, : prompt.shape[1]] == prompt).all()
    assert samples == tiny_bridge.tokenizer.batch_decode(sample_ids)
    assert all(text.startswith("<|endoftext|>This is") for text in samples)


def test_bos_is_left_out_without_prepend_bos(tiny_bridge):
    sample_ids, samples = get_samples(tiny_bridge, "This is", batch_size=2, gen_len=3, prepend_bos=False)
    assert sample_ids[0, 0] != tiny_bridge.tokenizer.bos_token_id
    assert samples[0].startswith("This is")


def test_the_end_of_text_token_does_not_end_a_sample(tiny_folder):
    from rlhf_course import load_model

    bridge = load_model(str(tiny_folder))
    with torch.no_grad():  # only the end-of-text token, id 0, can be sampled
        bridge.ln_final.weight.zero_()
        bridge.ln_final.bias.copy_(50 * bridge.embed.weight[0])
    sample_ids, _ = get_samples(bridge, "This is", batch_size=2, gen_len=5, top_k=1)
    assert sample_ids[:, -5:].eq(0).all()


def test_sampling_with_a_cache_takes_the_tokens_that_the_plain_forward_pass_finds_likeliest(tiny_bridge):
    sample_ids, _ = get_samples(tiny_bridge, "There is", batch_size=3, gen_len=9, temperature=0)
    ids = tiny_bridge.to_tokens("There is")
    for _ in range(9):
        ids = torch.cat([ids, tiny_bridge(ids)[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert (sample_ids == ids).all()


def test_samples_can_enter_autograd_and_carry_no_gradient(tiny_bridge):
    sample_ids, _ = get_samples(tiny_bridge, "This is", batch_size=2, gen_len=3)
    assert not sample_ids.is_inference()
    loss = tiny_bridge(sample_ids).sum()
    loss.backward()
    assert loss.requires_grad
    tiny_bridge.zero_grad()


def test_samples_of_a_batch_differ_and_the_seed_repeats_them(tiny_bridge):
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        draws.append(get_samples(tiny_bridge, "This is", batch_size=6, gen_len=9)[0])
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert len({tuple(row) for row in draws[0].tolist()}) == 6


def test_sampled_tokens_follow_temperature_and_top_k():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, 5.0]]).expand(40_000, -1)
    generator = torch.Generator().manual_seed(0)
    counts = sample_token(logits, temperature=2.0, top_k=3, generator=generator).bincount(minlength=5) / 40_000
    weights = np.exp(np.array([2.0, 1.0, -np.inf, -np.inf, 5.0]) / 2)
    assert np.allclose(counts, weights / weights.sum(), atol=0.01)


def test_without_limits_every_token_is_sampled_as_often_as_its_probability_says():
    logits = torch.tensor([[-1.0, 2.0, -torch.inf, 0.0, 5.0, -torch.inf]]).expand(200_000, -1)
    generator = torch.Generator().manual_seed(0)
    counts = sample_token(logits, temperature=2.0, generator=generator).bincount(minlength=6) / 200_000
    assert np.allclose(counts, torch.softmax(logits[0] / 2, -1), atol=0.005)
    assert counts[2] == counts[5] == 0


def test_a_uniform_number_next_to_1_takes_the_last_token_that_is_possible(monkeypatch):
    largest = 1 - torch.finfo(torch.float32).eps / 2
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, largest))
    logits = torch.cat([normal(500, 50_000).float(), torch.full((500, 1), -torch.inf)], dim=1)
    tokens = sample_token(logits)
    assert (tokens > 49_000).all() and (tokens < 50_000).all()


@pytest.mark.parametrize("among", [{}, {"top_k": 3}, {"top_p": 0.9}, {"top_k": 11, "top_p": 0.2}])
@pytest.mark.parametrize("wrong", [torch.nan, torch.inf])
def test_logits_without_probabilities_are_refused_and_not_sampled(wrong, among):
    logits = normal(4, 11).float()
    logits[2, 5] = wrong
    with pytest.raises(CourseError, match="no token can be sampled: the model's logits hold NaN or infinity"):
        sample_token(logits, **among)


def test_nucleus_sampling_keeps_the_fewest_tokens_that_reach_top_p():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log().expand(5_000, -1)
    generator = torch.Generator().manual_seed(0)
    assert sample_token(logits, top_p=0.75, generator=generator).unique().tolist() == [0, 1]
    assert sample_token(logits, top_p=0.85, generator=generator).unique().tolist() == [0, 1, 2]
    assert sample_token(logits, top_p=0.01, generator=generator).unique().tolist() == [0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gen_len": 0}, "gen_len take at least 1"),
        ({"temperature": -1.0}, "temperature takes at least 0, got -1.0"),
        ({"top_k": 0}, "top_k takes at least 1"),
        ({"top_p": 1.5}, "top_p takes a number above 0"),
        ({"stop_at_eos": True}, "get_samples takes top_p and generator beside its named arguments, got stop_at_eos"),
        ({"prompt": "<|endoftext|>This is"}, "prefix takes a text without '<|endoftext|>' at its start"),
        ({"prompt": "", "prepend_bos": False}, "prefix takes some text when prepend_bos is False"),
    ],
)
def test_impossible_sampling_is_refused(tiny_bridge, wrong, message):
    with pytest.raises(CourseError, match=message):
        get_samples(tiny_bridge, **{"prompt": "This is", "batch_size": 2, **wrong})


def test_a_tokenizer_without_a_first_token_is_told_apart(tiny_folder):
    from rlhf_course import load_model

    bridge = load_model(str(tiny_folder))
    bridge.tokenizer.bos_token = None
    with pytest.raises(CourseError, match="prepend_bos takes False here: this model's tokenizer has no"):
        get_samples(bridge, "This is", batch_size=2)
    ids, _ = get_samples(bridge, "This is", batch_size=2, gen_len=3, prepend_bos=False)
    assert ids.shape[1] == bridge.tokenizer("This is", return_tensors="pt").input_ids.shape[1] + 3


@pytest.mark.parametrize("temperature", [1e-45, 1e-300])
def test_the_smallest_temperatures_take_the_likeliest_token(temperature):
    logits = normal(6, 11).float() * 1000
    assert torch.equal(sample_token(logits, temperature), logits.argmax(-1))


# Memory


def memory_parts(args: RLHFArgs, seq: int = 10, vocab: int = 13) -> dict[str, torch.Tensor]:
    batch, gen = args.batch_size, args.gen_len
    return {
        "sample_ids": torch.arange(batch)[:, None].expand(batch, seq).clone(),
        "logprobs": normal(batch, gen),
        "advantages": normal(batch, gen, seed=1),
        "values": normal(batch, seq, seed=2),
        "ref_logits": normal(batch, seq, vocab, seed=3),
    }


@pytest.fixture
def args() -> RLHFArgs:
    return RLHFArgs(batch_size=15, num_minibatches=3, batches_per_learning_phase=4, gen_len=GEN)


def test_returns_are_advantages_plus_values_of_the_states_before_the_tokens(args):
    parts = memory_parts(args)
    returns = ReplayMemory(args, **parts).returns
    for row in range(15):
        for token in range(GEN):
            value = parts["values"][row, 10 - GEN + token - 1]
            assert returns[row, token] == parts["advantages"][row, token] + value


def test_each_sequence_comes_once_in_each_pass_with_its_own_rows(args):
    memory = ReplayMemory(args, **memory_parts(args))
    minibatches = list(memory.get_minibatches())
    assert len(minibatches) == 4 * 3
    orders = []
    for first in range(0, 12, 3):
        rows = torch.cat([minibatch.sample_ids[:, 0] for minibatch in minibatches[first : first + 3]])
        assert sorted(rows.tolist()) == list(range(15))
        orders.append(tuple(rows.tolist()))
    assert len(set(orders)) == 4
    for minibatch in minibatches:
        rows = minibatch.sample_ids[:, 0]
        for name in ("logprobs", "advantages", "returns", "ref_logits"):
            assert torch.equal(getattr(minibatch, name), getattr(memory, name)[rows])


def test_minibatches_have_a_length_and_are_the_same_at_each_reading(args):
    minibatches = ReplayMemory(args, **memory_parts(args)).get_minibatches()
    rows = [minibatch.sample_ids for minibatch in minibatches]
    assert len(minibatches) == len(rows) == 12
    assert all(torch.equal(minibatch.sample_ids, ids) for minibatch, ids in zip(minibatches, rows, strict=True))
    assert torch.equal(minibatches[-1].sample_ids, rows[11])
    assert [minibatch.sample_ids.tolist() for minibatch in minibatches[2:4]] == [ids.tolist() for ids in rows[2:4]]


@pytest.mark.parametrize("name", ["sample_ids", "logprobs", "advantages", "values", "ref_logits"])
def test_a_wrong_shape_is_refused_by_name(args, name):
    parts = memory_parts(args)
    parts[name] = parts[name][:-1]
    with pytest.raises(CourseError, match=rf"^{name} has shape \[14, .*should be \[15, "):
        ReplayMemory(args, **parts)


def test_a_memory_without_values_has_no_returns(args):
    memory = ReplayMemory(args, **{**memory_parts(args), "values": None})
    assert memory.returns is None and memory.get_minibatches()[0].returns is None


def test_a_memory_without_a_prefix_is_refused(args):
    with pytest.raises(CourseError, match="7 columns: a prefix and gen_len=7 generated tokens need more"):
        ReplayMemory(args, **memory_parts(args, seq=GEN))


# The given terms of the objective


def test_value_loss_is_half_the_mean_squared_error_with_its_gradient():
    values, returns = normal(MB, GEN).requires_grad_(), normal(MB, GEN, seed=1)
    loss = calc_value_function_loss(values, returns, 0.3, GEN)
    difference = (values - returns).detach().numpy()
    assert math.isclose(loss.item(), 0.15 * (difference**2).sum() / (MB * GEN), rel_tol=1e-12)
    loss.backward()
    assert np.allclose(values.grad, 0.3 * difference / (MB * GEN), rtol=1e-12)


def test_clipped_surrogate_is_ppos_with_its_gradient():
    old = normal(MB, GEN)
    logprobs = (old + 0.3 * normal(MB, GEN, seed=1)).requires_grad_()
    advantages = 5 + 3 * normal(MB, GEN, seed=2)
    objective = calc_clipped_surrogate_objective(logprobs, old, advantages, 0.2, GEN)
    a = advantages.numpy()
    a = (a - a.mean()) / (a.std(ddof=1) + 1e-8)
    ratio = np.exp(logprobs.detach().numpy() - old.numpy())
    chosen = np.where(a > 0, np.minimum(ratio, 1.2), np.maximum(ratio, 0.8))
    assert math.isclose(objective.item(), (chosen * a).mean(), rel_tol=1e-12)
    objective.backward()
    moves = np.where(a > 0, ratio < 1.2, ratio > 0.8)
    assert moves.any() and not moves.all()
    assert np.allclose(logprobs.grad, np.where(moves, ratio * a, 0) / (MB * GEN), rtol=1e-10)


def test_equal_advantages_give_a_finite_surrogate():
    objective = calc_clipped_surrogate_objective(normal(MB, GEN), normal(MB, GEN), torch.ones(MB, GEN), 0.2, GEN)
    assert objective.isfinite()


def test_columns_other_than_gen_len_are_refused():
    wide = normal(MB, GEN + 1)
    with pytest.raises(CourseError, match=r"values has shape \[5, 8\], should have gen_len=7 columns"):
        calc_value_function_loss(wide, wide, 0.1, GEN)
    with pytest.raises(CourseError, match=r"logprobs has shape \[5, 8\], should have gen_len=7 columns"):
        calc_clipped_surrogate_objective(wide, wide, wide, 0.2, GEN)
    with pytest.raises(CourseError, match=r"mb_returns has shape \[5, 8\], and values has \[5, 7\]"):
        calc_value_function_loss(normal(MB, GEN), wide, 0.1, GEN)
    with pytest.raises(CourseError, match=r"mb_advantages has shape \[5, 8\], and logprobs has \[5, 7\]"):
        calc_clipped_surrogate_objective(normal(MB, GEN), normal(MB, GEN), wide, 0.2, GEN)


def test_a_single_advantage_is_refused_where_it_would_become_nan():
    scalar = torch.zeros(1, 1)
    with pytest.raises(CourseError, match="a single advantage has no standard deviation"):
        calc_clipped_surrogate_objective(scalar, scalar, scalar, 0.2, 1)


# The schedule


@pytest.mark.parametrize("warmup", [0, 4])
def test_learning_rates_warm_up_and_then_fall_to_the_final_scale(warmup):
    args = RLHFArgs(total_phases=14, warmup_steps=warmup, base_lr=1e-2, head_lr=3e-2, final_scale=0.2)
    optimizer, scheduler = get_optimizer_and_scheduler(args, TwoPartModel())
    factors = []
    for _ in range(15):
        rates = [group["lr"] for group in optimizer.param_groups]
        assert math.isclose(rates[1], 3 * rates[0], rel_tol=1e-12)
        factors.append(rates[0] / 1e-2)
        optimizer.step()
        scheduler.step()
    rising = [step / 4 for step in range(warmup)]
    falling = [1 - 0.8 * (step - warmup) / (14 - warmup) for step in range(warmup, 15)]
    assert np.allclose(factors, rising + falling)
    assert math.isclose(factors[14], 0.2)
