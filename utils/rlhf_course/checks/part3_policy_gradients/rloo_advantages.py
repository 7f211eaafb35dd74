"""Self-check of `rloo_advantages`."""

from rlhf_course.checks.circumstances import variations
from rlhf_course.checks.core import Answer, Check, observe_call
from rlhf_course.checks.reward_groups import CASES_OF_GROUPS, NO_GROUPS, explain_groups, listed_rewards

HINTS = (
    "A baseline leaves the gradient's expectation as it is only if it does not depend on the completion itself. The "
    "mean of the group does, since it holds the completion's own reward; the mean of the others does not.",
    "As in `group_advantages`, the rewards of a prompt are a row of a table of shape [prompts, group_size]. The sum of "
    "a row, [prompts, 1], minus the table itself gives for each completion the sum of the others, of which there are "
    "group_size - 1.",
    "Raise a ValueError if `group_size` is below 2 or leaves a remainder. Reshape the rewards to (-1, group_size), "
    "take the sum over the last dimension with `keepdim=True` minus the table, divide by group_size - 1, subtract that "
    "from the table, and flatten.",
)

CASES = {
    **CASES_OF_GROUPS,
    "equal rewards": listed_rewards([1.0, 1.0, 1.0, 0.0, 0.0, 3.0], 3),
    **NO_GROUPS,
}
CHECK = Check(
    "rloo_advantages",
    CASES,
    observe_call,
    variations=variations(CASES["four prompts"], group_size=4),
    explain=explain_groups,
)


def test_the_mean_of_the_others_is_subtracted_from_each_reward(rloo_advantages: Answer) -> None:
    CHECK.require(rloo_advantages, "two prompts")
    CHECK.require(rloo_advantages, "four prompts")


def test_groups_that_are_longer_than_the_list_of_prompts_are_no_special_case(rloo_advantages: Answer) -> None:
    CHECK.require(rloo_advantages, "long groups")
    CHECK.require(rloo_advantages, "as many prompts as completions")


def test_in_a_group_of_two_the_other_is_the_baseline(rloo_advantages: Answer) -> None:
    CHECK.require(rloo_advantages, "groups of two")


def test_one_prompt_is_a_batch_too(rloo_advantages: Answer) -> None:
    CHECK.require(rloo_advantages, "one prompt")


def test_others_with_the_same_reward_count_too(rloo_advantages: Answer) -> None:
    CHECK.require(rloo_advantages, "equal rewards")


def test_a_group_of_one_or_none_is_a_value_error(rloo_advantages: Answer) -> None:
    CHECK.require(rloo_advantages, "a group of one")
    CHECK.require(rloo_advantages, "a group of none")


def test_a_batch_that_groups_do_not_divide_is_a_value_error(rloo_advantages: Answer) -> None:
    CHECK.require(rloo_advantages, "a remainder")
    CHECK.require(rloo_advantages, "a group larger than the batch")


def test_slices_of_larger_tensors_give_the_same(rloo_advantages: Answer) -> None:
    CHECK.require(rloo_advantages, "slices")


def test_float64_gives_float64(rloo_advantages: Answer) -> None:
    CHECK.require(rloo_advantages, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(rloo_advantages: Answer) -> None:
    CHECK.require(rloo_advantages, "other values")


def test_rewards_that_require_gradients_give_the_same(rloo_advantages: Answer) -> None:
    CHECK.require(rloo_advantages, "with gradients")
