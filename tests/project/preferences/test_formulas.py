"""The functions of part 2 agree with plain float64 formulas, and the recorded comparison with TRL is whole."""

import itertools
import json
import math
import statistics

import pytest
import torch
from torch.autograd import gradcheck

from rlhf_course.course import PARTS_BY_NAME
from rlhf_course.learner_package import imported_answer
from rlhf_course.paths import REPOSITORY

PART = PARTS_BY_NAME["part2_preferences"]
RECORDED = json.loads((REPOSITORY / "benchmarks/results/part2_against_trl.json").read_text())
WITH_A_PEER = ("bradley_terry_loss", "reward_accuracy", "sequence_logprobs", "dpo_loss", "RewardModel")
EXACT = {"rel": 1e-12, "abs": 1e-12}


@pytest.fixture(params=range(3))
def normal(request):
    """A function that draws normal numbers in float64, of a few seeds."""
    generator = torch.Generator().manual_seed(request.param)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def log_sigmoid(number: float) -> float:
    return -math.log1p(math.exp(-number)) if number > 0 else number - math.log1p(math.exp(number))


def test_bradley_terry_loss_is_its_formula_with_its_gradients(normal):
    function = imported_answer("bradley_terry_loss")
    chosen, rejected, margin = 5 * normal(7), 5 * normal(7), normal(7)
    differences = [c - r - m for c, r, m in zip(chosen.tolist(), rejected.tolist(), margin.tolist(), strict=True)]
    wanted = -statistics.fmean(map(log_sigmoid, differences))
    assert function(chosen, rejected, margin).item() == pytest.approx(wanted, **EXACT)
    assert gradcheck(function, (chosen.requires_grad_(), rejected.requires_grad_(), margin))


def test_reward_accuracy_is_the_share_with_half_of_the_ties(normal):
    chosen, rejected = normal(9).round(), normal(9).round()
    pairs = list(zip(chosen.tolist(), rejected.tolist(), strict=True))
    wanted = (sum(c > r for c, r in pairs) + sum(c == r for c, r in pairs) / 2) / len(pairs)
    assert imported_answer("reward_accuracy")(chosen, rejected).item() == pytest.approx(wanted, **EXACT)


def test_normalize_rewards_is_its_formula_with_its_gradients(normal):
    function = imported_answer("normalize_rewards")
    rewards, reference = 3 * normal(5) + 2, normal(8) - 1
    mean, deviation = statistics.fmean(reference.tolist()), statistics.stdev(reference.tolist())
    wanted = [(reward - mean) / (deviation + 1e-8) for reward in rewards.tolist()]
    assert function(rewards, reference).tolist() == pytest.approx(wanted, **EXACT)
    assert gradcheck(function, (rewards.requires_grad_(), reference.requires_grad_()))


def test_best_of_n_is_the_first_index_of_the_highest_reward(normal):
    rewards = normal(6, 9).round()
    assert imported_answer("best_of_n")(rewards).tolist() == [row.index(max(row)) for row in rewards.tolist()]


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_best_of_n_kl_is_the_divergence_summed_over_many_texts_of_different_rewards(n):
    """Of equally likely texts, the k-th worst is the best of n with probability (k / texts)^n - ((k - 1) / texts)^n."""
    texts = 50_000
    shares = [(k / texts) ** n for k in range(texts + 1)]
    best = [after - before for before, after in itertools.pairwise(shares)]
    divergence = math.fsum(p * math.log(p * texts) for p in best if p > 0)
    assert imported_answer("best_of_n_kl")(n) == pytest.approx(divergence, abs=1e-4)


def test_sequence_logprobs_is_its_formula_with_its_gradients(normal):
    function = imported_answer("sequence_logprobs")
    logits, mask = 4 * normal(4, 6, 5), normal(4, 6) > 0
    ids = (normal(4, 6).abs() * 10).long() % 5
    wanted = []
    for rows, tokens, counts in zip(logits.tolist(), ids.tolist(), mask.tolist(), strict=True):
        parts = [
            rows[i - 1][tokens[i]] - math.log(math.fsum(map(math.exp, rows[i - 1]))) for i in range(1, 6) if counts[i]
        ]
        wanted.append(math.fsum(parts))
    assert function(logits, ids, mask).tolist() == pytest.approx(wanted, **EXACT)
    assert gradcheck(function, (logits.requires_grad_(), ids, mask))


def test_dpo_loss_is_its_formula_with_its_gradients(normal):
    function = imported_answer("dpo_loss")
    policy, reference = (4 * normal(2, 6) - 30).unbind(), (4 * normal(2, 6) - 30).unbind()
    rows = zip(*(part.tolist() for part in (*policy, *reference)), strict=True)
    rewards = [(0.3 * (pc - rc), 0.3 * (pr - rr)) for pc, pr, rc, rr in rows]
    losses, chosen, rejected = function(*policy, *reference, beta=0.3)
    assert losses.tolist() == pytest.approx([-log_sigmoid(c - r) for c, r in rewards], **EXACT)
    assert [chosen.tolist(), rejected.tolist()] == [
        pytest.approx(list(each), **EXACT) for each in zip(*rewards, strict=True)
    ]
    leaves = [part.clone().requires_grad_() for part in policy]
    assert gradcheck(lambda *own: function(*own, *reference, beta=0.3)[0], leaves)


@pytest.mark.parametrize("name", WITH_A_PEER)
def test_the_recorded_comparison_with_trl_holds_each_function_that_has_a_peer(name):
    rows = {key: row for key, row in RECORDED["largest_difference"].items() if key.startswith(name)}
    assert rows and all(math.isfinite(number) for row in rows.values() for number in row.values())
    assert name == "reward_accuracy" or any(row.keys() == {"values", "gradients"} for row in rows.values())
    assert RECORDED["versions"].keys() == {"trl", "transformers", "torch"} and RECORDED["draws"] > 0


def test_every_function_of_the_part_is_compared_with_something():
    by_formula = {
        *("bradley_terry_loss", "reward_accuracy", "normalize_rewards", "best_of_n", "best_of_n_kl"),
        *("sequence_logprobs", "dpo_loss"),
    }
    assert by_formula | set(WITH_A_PEER) == {exercise.name for exercise in PART.exercises}
