"""Tests of the name of a run's reward in its record, and of what a run prints."""

import io
from functools import partial

import pytest
import torch
from rich.console import Console

from rlhf_course import named_reward
from rlhf_course.rl.rewards import describe_reward
from rlhf_course.rl.show import is_table_due, sample_table


def count(texts: list[str], char: str = ".") -> torch.Tensor:
    return torch.tensor([float(text.count(char)) for text in texts])


class Counter:
    def __call__(self, texts: list[str]) -> torch.Tensor:
        return count(texts)

    def method(self, texts: list[str]) -> torch.Tensor:
        return count(texts)


@pytest.mark.parametrize(
    ("reward_fn", "name"),
    [
        (named_reward("periods"), "periods"),
        (count, f"{__name__}:count"),
        (partial(count, char="!"), f"{__name__}:count(char='!')"),
        (partial(partial(count, char="!")), f"{__name__}:count(char='!')"),
        (Counter(), f"{__name__}:Counter"),
        (Counter().method, f"{__name__}:Counter.method"),
    ],
)
def test_a_reward_is_recorded_by_its_own_name_with_the_arguments_it_was_given(reward_fn, name):
    assert describe_reward(reward_fn) == {"name": name, "direction": "pos"}


def test_two_partials_of_one_function_are_two_rewards():
    assert describe_reward(partial(count, char="!")) != describe_reward(partial(count, char="?"))


def phase(number: int, rewards=(1.0, 2.0)):
    samples = [{"reward": reward, "ref_logprob": -1.0, "text": "This is"} for reward in rewards]
    return {"phase": number, "mean_reward": 1.5, "kl": 0.1}, samples


def test_a_terminal_gets_a_table_every_phase_and_a_notebook_every_tenth():
    phases = range(1, 26)
    assert [done for done in phases if is_table_due(done, 25, in_notebook=False)] == list(phases)
    assert [done for done in phases if is_table_due(done, 25, in_notebook=True)] == [1, 10, 20, 25]


def test_equal_rewards_are_pointed_out():
    for rewards, pointed_out in (((2.0, 2.0), True), ((2.0, 2.5), False)):
        console = Console(record=True, width=120, file=io.StringIO())
        console.print(sample_table(*phase(0, rewards)))
        assert (
            "Every text has the reward 2: in this phase the policy cannot learn which is better"
            in console.export_text()
        ) is pointed_out
