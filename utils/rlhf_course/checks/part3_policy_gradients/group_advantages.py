"""Self-check of `group_advantages`."""

from rlhf_course.checks.circumstances import variations
from rlhf_course.checks.core import Answer, Check, normal, observe_call
from rlhf_course.checks.reward_groups import CASES_OF_GROUPS, NO_GROUPS, explain_groups, listed_rewards, random_rewards

HINTS = (
    "What a reward is worth depends on the prompt: 1 is little where all completions are right, and much where all "
    "others are wrong. So each reward is compared with the rewards of the same prompt, whose mean takes the place of a "
    "critic.",
    "The rewards of a prompt stand together, so the tensor of shape [prompts * group_size] is a table of shape "
    "[prompts, group_size], written row by row. Mean and deviation are one number a row, and stay [prompts, 1] with "
    "`keepdim=True`. The result is flattened again.",
    "Raise a ValueError if `group_size` is below 2 or leaves a remainder. Reshape the rewards to (-1, group_size), "
    "subtract the mean over the last dimension, divide by the standard deviation over it plus `eps` if `scale_by_std`, "
    "and flatten.",
)

CASES = {
    **CASES_OF_GROUPS,
    "equal rewards": listed_rewards([1.0, 1.0, 1.0, 0.0, 2.0, 4.0, 0.0, 0.0, 0.0], 3),
    "small differences": listed_rewards([0.5, 0.503, 0.506, 0.25, 0.258, 0.25], 3),
    "another eps": random_rewards(normal(8, seed=364), 4, eps=0.5),
    "not scaled": random_rewards(3 * normal(6, seed=365), 3, eps=1e-4, scale_by_std=False),
    **NO_GROUPS,
}
_VARIATIONS = {
    **variations(CASES["four prompts"], group_size=4),
    **variations(CASES["another eps"], eps=2.0),
    **variations(CASES["not scaled"], scale_by_std=True),
}
CHECK = Check("group_advantages", CASES, observe_call, variations=_VARIATIONS, explain=explain_groups)


def test_rewards_are_compared_with_the_mean_and_deviation_of_their_own_group(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "two prompts")
    CHECK.require(group_advantages, "four prompts")


def test_groups_that_are_longer_than_the_list_of_prompts_are_no_special_case(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "long groups")
    CHECK.require(group_advantages, "as many prompts as completions")


def test_two_completions_are_a_group(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "groups of two")


def test_one_prompt_is_a_batch_too(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "one prompt")


def test_equal_rewards_in_a_group_give_zeros(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "equal rewards")


def test_eps_is_added_to_the_deviation(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "small differences")
    CHECK.require(group_advantages, "another eps")


def test_without_scaling_only_the_mean_is_subtracted(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "not scaled")


def test_a_group_of_one_or_none_is_a_value_error(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "a group of one")
    CHECK.require(group_advantages, "a group of none")


def test_a_batch_that_groups_do_not_divide_is_a_value_error(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "a remainder")
    CHECK.require(group_advantages, "a group larger than the batch")


def test_slices_of_larger_tensors_give_the_same(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "slices")


def test_float64_gives_float64(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "other values")


def test_rewards_that_require_gradients_give_the_same(group_advantages: Answer) -> None:
    CHECK.require(group_advantages, "with gradients")
