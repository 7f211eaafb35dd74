"""The recorded comparison of part 2 with TRL and transformers is whole; `benchmarks/part2_against_trl.py` makes it."""

import json
import math

import pytest

from rlhf_course.paths import REPOSITORY

RECORDED = json.loads((REPOSITORY / "benchmarks/results/part2_against_trl.json").read_text())
# Neither library has the other functions: test_reference_answers.py compares them with plain formulas.
WITH_A_PEER = ("bradley_terry_loss", "reward_accuracy", "sequence_logprobs", "dpo_loss", "RewardModel")
WITHOUT_GRADIENT = ("reward_accuracy",)


@pytest.mark.parametrize("name", WITH_A_PEER)
def test_each_function_that_has_a_peer_was_compared_with_it_by_values_and_gradients(name):
    rows = {key: row for key, row in RECORDED["largest_difference"].items() if key.startswith(name)}
    kinds = {"values"} if name in WITHOUT_GRADIENT else {"values", "gradients"}
    assert any(row.keys() == kinds for row in rows.values())
    assert all(math.isfinite(number) for row in rows.values() for number in row.values())


def test_the_versions_and_the_number_of_draws_are_recorded():
    assert RECORDED["versions"].keys() == {"trl", "transformers", "torch"} and RECORDED["draws"] > 0
