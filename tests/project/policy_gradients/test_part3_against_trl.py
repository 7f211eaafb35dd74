"""The recorded comparison of part 3 with TRL is whole; `benchmarks/part3_against_trl.py` makes it."""

import json
import math
import re

import pytest

from rlhf_course.course import PARTS_BY_NAME
from rlhf_course.paths import REPOSITORY

RECORDED = json.loads((REPOSITORY / "benchmarks/results/part3_against_trl.json").read_text())
EXERCISES = {exercise.name for exercise in PARTS_BY_NAME["part3_policy_gradients"].exercises}
# TRL has no GAE, and a verifier is its users' own. The rest has a peer; without a gradient: masks and advantages.
WITH_A_PEER = EXERCISES - {"compute_gae", "verify_sorted", "GRPOTrainer"}
WITH_A_GRADIENT = {"kl_estimate", "sft_loss", "grpo_clip_loss", "aggregate_loss"}


def rows_of(table: str) -> dict[str, list[dict[str, float]]]:
    """Return the rows of a table by exercise."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in EXERCISES}
    for key, row in RECORDED[table].items():
        for name in EXERCISES:
            if re.search(rf"\b{name}\b", key):
                found[name].append(row)
    return found


@pytest.mark.parametrize(
    ("table", "compared"),
    [
        ("largest_difference_from_trl", WITH_A_PEER),
        ("largest_difference_from_formulas", EXERCISES - {"GRPOTrainer"}),
    ],
)
def test_each_function_was_compared_by_values_and_gradients_and_agrees_up_to_rounding(table, compared):
    rows = rows_of(table)
    assert {name for name, found in rows.items() if found} == compared
    for name in compared:
        kinds = {"values", "gradients"} if name in WITH_A_GRADIENT else {"values"}
        assert all(row.keys() == kinds for row in rows[name])
        # TRL computes advantages in float32.
        limit = 1e-6 if name.endswith("_advantages") else 1e-9
        assert all(math.isfinite(number) and number < limit for row in rows[name] for number in row.values())


def test_all_kinds_of_losses_and_of_estimates_were_compared():
    of_trl, by_formula = RECORDED["largest_difference_from_trl"], RECORDED["largest_difference_from_formulas"]
    for loss_type in ("grpo", "bnpo", "dapo", "dr_grpo"):
        assert any(key.endswith(f" {loss_type}") for key in of_trl)
    assert any("k3" in key for key in of_trl) and all(
        any(kind in key for key in by_formula) for kind in ("k1", "k2", "k3")
    )


def test_the_loss_of_the_trainer_on_a_model_is_that_of_trl_with_its_gradients():
    row = RECORDED["GRPOTrainer.loss on the embedded model"]
    assert row["loss"] < 1e-5 and row["gradients"] < 1e-3 * row["largest gradient"]
    assert row["logprobs by TRL without positions"] > 0.1, "docs/larger_models.md says that they matter"


def test_in_trls_trainer_part_3s_functions_gave_the_masks_rewards_advantages_and_the_loss():
    row = RECORDED["part 3 in TRL's trainer"]
    assert row["different masks"] == row["different rewards"] == 0
    assert 0 < row["share of right completions"] < 1 and row["share of mixed groups"] > 0
    assert row["advantages"] < 1e-5 and row["loss"] < 1e-6 and row["largest gradient"] > 0
    assert row["gradients"] < 1e-4 * row["largest gradient"] and row["optimizer steps"] > 0


def test_the_code_that_was_run_is_that_of_the_page():
    page = (REPOSITORY / "docs/larger_models.md").read_text()
    code = "\n".join(re.findall(r"^```python\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE))
    assert code == RECORDED["page_code"], "run `.venv/bin/python benchmarks/part3_against_trl.py` again"


def test_the_versions_and_the_number_of_draws_are_recorded():
    assert RECORDED["versions"].keys() == {"trl", "transformers", "torch"} and RECORDED["draws"] > 0
