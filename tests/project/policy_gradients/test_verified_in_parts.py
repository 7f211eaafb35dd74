"""Test that a rollout may verify its completions group by group, or twice."""

from typing import Any

import part3_policy_gradients as part3
import pytest
import torch

from rlhf_course.checks.tiny import gpt2_folder
from rlhf_course.rl.models import load_model
from rlhf_course.rl.policy_gradients.args import TaskArgs


class GroupByGroup(part3.GRPOTrainer):
    """Calls the verifier once for each group."""

    def verify(self, prompts: list[str], texts: list[str]) -> Any:
        size = self.args.group_size
        starts = range(0, len(prompts), size)
        return torch.cat([super(GroupByGroup, self).verify(prompts[i : i + size], texts[i : i + size]) for i in starts])


class Twice(part3.GRPOTrainer):
    """Calls the verifier twice for all completions."""

    def verify(self, prompts: list[str], texts: list[str]) -> Any:
        super().verify(prompts, texts)
        return super().verify(prompts, texts)


@pytest.mark.parametrize("trainer_class", [GroupByGroup, Twice])
def test_a_rollout_may_verify_in_parts_or_twice(trainer_class: Any) -> None:
    args = TaskArgs(base_model=gpt2_folder(), prompts=3, group_size=4, max_new_tokens=4, held_out=2)
    row, samples = trainer_class(
        args, model=load_model(gpt2_folder()), verify=lambda prompt, text: len(text)
    ).run_phase()
    assert len(samples) == 8  # the first of twelve
    assert row["mean_reward"] == row["mean_reward"]  # a number
