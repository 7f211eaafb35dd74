"""Self-check of `GRPOTrainer`, on a GPT-2 of two layers; each of its two methods is checked alone."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rlhf_course.checks.core import Answer, Case, Check, Observation, integers, normal, observe_result
from rlhf_course.checks.tiny import BOS, VOCABULARY, gpt2_folder, on_the_cpu, reused_models

HINTS = (
    "The rollout samples a group of completions for each prompt, has them verified, and keeps what the loss needs. The "
    "loss asks how likely these tokens are under the policy as it is now, and is computed again for each optimizer "
    "step on the batch.",
    "With n prompts of a group each, a batch has n * group_size rows. `input_ids` and `attention_mask` are [batch, "
    "prompt + gen]: prompts and completions side by side. Everything about tokens of the completions is [batch, gen], "
    "the advantages too, one number of each text repeated at each of its tokens. The logits at [:, -gen-1:-1] predict "
    "the tokens at [:, -gen:].",
    "Rollout: repeat each prompt group_size times in a row; call self.sample; make the completion mask; call "
    "self.verify with the repeated prompts and the texts; make the advantages of the rewards by args.baseline; join "
    "ids, and join masks; take the log-probabilities of one forward pass with the attention mask; fill a GRPOBatch.",
    "Loss: the log-probabilities again, now with gradients; then `grpo_clip_loss` with the batch's old ones, its "
    'advantages and both bounds; then `aggregate_loss` with the completion mask, args.aggregation, and for "constant" '
    "alone args.max_new_tokens. Its result is minimised as it is.",
)
_PROMPTS = ["This is a film", ". the", ".. good w1 w2 w3"]
_SHORT_PROMPTS = ["This", ". bad"]
_GEN = 5
_EOS = 0


def _trainer(trainer_class: Any, settings: Mapping[str, Any]) -> Any:
    """Return a trainer on a tiny model, whose verifier tells completions and prompts apart."""
    from rlhf_course.rl import models
    from rlhf_course.rl.policy_gradients.args import TaskArgs

    def verify(prompt: str, text: str) -> float:
        return (len(text) * 7 + text.count("w") * 5 + sum(map(ord, text)) * len(prompt)) % 16 / 4

    args = TaskArgs(**{"group_size": 3, "max_new_tokens": _GEN + 2, **settings})
    return trainer_class(args, model=models.load_model(gpt2_folder()), verify=verify)


# The rollout.


def _chosen_completions(count: int, gen: int) -> Tensor:
    """Return token ids of completions: every third has no end, the others end early, and each is another one."""
    ids = integers(1, len(VOCABULARY), count, gen, seed=311)
    for row in range(count):
        if row % 3:
            ids[row, (row * 2) % gen :] = _EOS
    return ids


def _rollout(trainer_class: Any, settings: Mapping[str, Any], prompts: Sequence[str]) -> Observation:
    from rlhf_course.rl.policy_gradients.batch import GRPOBatch
    from rlhf_course.rl.policy_gradients.completions import Completions, completion_text, encode_prompts

    trainer = _trainer(trainer_class, settings)
    asked: list[list[str]] = []

    def sample(prompts: Sequence[str]) -> Completions:
        """Return completions that are the same in every run."""
        asked.append(list(prompts))
        ids = _chosen_completions(len(prompts), min(_GEN, trainer.args.max_new_tokens))
        tokenizer = trainer.model.tokenizer
        texts = [completion_text(tokenizer, row) for row in ids.tolist()]
        return Completions(*encode_prompts(tokenizer, prompts), ids, texts, 1.0)

    trainer.sample = sample
    passed = list(prompts)
    batch = trainer.rollout(passed)
    observation: Observation = {"prompts that self.sample was given": asked}
    if not isinstance(batch, GRPOBatch):
        return {**observation, "rollout returns": type(batch).__name__}
    fields = ("old_logprobs", "rewards", "advantages")
    mask, real = batch.completion_mask, batch.attention_mask
    return {
        **observation,
        "completion_mask": mask,
        "attention_mask": real,
        "input_ids at real tokens": torch.where(real, batch.input_ids, -1),
        "rewards": batch.rewards,
        "advantages at real tokens": torch.where(_real(batch), batch.advantages, 0.0),
        "old_logprobs at real tokens": torch.where(_real(batch), batch.old_logprobs, 0.0),
        "carries a gradient": [name for name in fields if getattr(batch, name).requires_grad],
        "prompts changed in place": passed != list(prompts),
    }


def _real(batch: Any) -> Tensor:
    """Return which tokens belong to the completions, whatever the batch's masks say."""
    ids = batch.input_ids[:, -batch.completion_mask.shape[1] :]
    ends = torch.nn.functional.pad(ids == _EOS, (1, 0))[:, :-1]
    return ~ends.cummax(dim=1).values


# The loss.


def _loss(trainer_class: Any, settings: Mapping[str, Any], lengths: Sequence[int]) -> Observation:
    from rlhf_course.rl.policy_gradients.batch import GRPOBatch

    trainer = _trainer(trainer_class, settings)
    fields = _batch_of(lengths)
    batch = GRPOBatch(**{name: value.clone() for name, value in fields.items()})
    result = trainer.loss(batch)
    observation = {f"{key} of the loss": value for key, value in observe_result(result).items() if key != "result"}
    if isinstance(result, Tensor) and result.numel() == 1:
        observation["loss"] = result.reshape(())
        if result.requires_grad:
            result.reshape(()).backward()
        gradients = [each.grad for each in trainer.parameters() if each.grad is not None]
        observation["norm of its gradient"] = float(sum(float(each.pow(2).sum()) for each in gradients) ** 0.5)
    observation["batch changed in place"] = [
        name for name, value in fields.items() if not torch.equal(getattr(batch, name), value)
    ]
    return observation


def _batch_of(lengths: Sequence[int]) -> dict[str, Tensor]:
    """Return the fields of a batch of completions of these lengths, after prompts of different lengths."""
    rows, gen, before = len(lengths), max(lengths), 4
    ids = integers(1, len(VOCABULARY), rows, before + gen, seed=321)
    mask = torch.arange(gen) < torch.tensor(lengths)[:, None]
    starts = torch.tensor([row % before for row in range(rows)])
    prompt_mask = torch.arange(before) >= starts[:, None]
    ids[torch.arange(rows), starts] = _EOS
    attention = torch.cat([prompt_mask, mask], dim=1)
    return {
        "input_ids": ids.masked_fill(~attention, _EOS),
        "attention_mask": attention,
        "completion_mask": mask,
        # A random policy gives each of the tokens about this log-probability.
        "old_logprobs": -3.6 + 0.6 * normal(rows, gen, seed=322),
        "rewards": normal(rows, seed=323),
        "advantages": normal(rows, gen, seed=324),
    }


def _observe(trainer_class: Answer, inputs: Mapping[str, Any]) -> Observation:
    with on_the_cpu(), reused_models():
        if "prompts" in inputs:
            return _rollout(trainer_class, inputs["settings"], inputs["prompts"])
        return _loss(trainer_class, inputs["settings"], inputs["lengths"])


def _case(method: str, words: str, settings: Mapping[str, Any], **inputs: Any) -> Case:
    shown = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    return Case(f"{method} of {words}, {shown}", {"settings": settings, **inputs}, method)


_BOUNDS = {"clip_low": 0.1, "clip_high": 0.4}
_LENGTHS = (3, 6, 1, 4, 6)
CASES = {
    "groups": _case("rollout", f"{_PROMPTS}", {"group_size": 3}, prompts=_PROMPTS),
    "groups of two": _case("rollout", f"{_SHORT_PROMPTS}", {"group_size": 2}, prompts=_SHORT_PROMPTS),
    "not scaled": _case("rollout", f"{_PROMPTS}", {"group_size": 4, "scale_by_std": False}, prompts=_PROMPTS),
    "leave one out": _case("rollout", f"{_PROMPTS}", {"group_size": 3, "baseline": "leave_one_out"}, prompts=_PROMPTS),
    "one prompt": _case("rollout", "['This is a film']", {"group_size": 5}, prompts=_PROMPTS[:1]),
    **{
        kind: _case(
            "loss", "completions of 3, 6, 1, 4 and 6 tokens", {"aggregation": kind, **_BOUNDS}, lengths=_LENGTHS
        )
        for kind in ("sequence_mean", "token_mean", "constant")
    },
    "other bounds": _case(
        "loss", "completions of 3, 6, 1, 4 and 6 tokens", {"clip_low": 0.5, "clip_high": 0.05}, lengths=_LENGTHS
    ),
    "one completion": _case("loss", "one completion of 4 tokens", _BOUNDS, lengths=(4,)),
}
CHECK = Check("GRPOTrainer", CASES, _observe, is_called_with_inputs=False)
assert VOCABULARY[_EOS] == BOS, "the tiny model's first token begins and ends texts"


def test_a_rollout_holds_groups_of_completions_and_what_learning_needs(GRPOTrainer: Answer) -> None:
    CHECK.require(GRPOTrainer, "groups")


def test_a_group_may_have_two_completions(GRPOTrainer: Answer) -> None:
    CHECK.require(GRPOTrainer, "groups of two")


def test_advantages_are_divided_by_the_deviation_only_where_the_settings_say_so(GRPOTrainer: Answer) -> None:
    CHECK.require(GRPOTrainer, "not scaled")


def test_the_settings_choose_the_leave_one_out_baseline(GRPOTrainer: Answer) -> None:
    CHECK.require(GRPOTrainer, "leave one out")


def test_one_prompt_is_a_rollout_too(GRPOTrainer: Answer) -> None:
    CHECK.require(GRPOTrainer, "one prompt")


def test_the_loss_is_the_mean_over_texts_of_their_tokens_clipped_loss(GRPOTrainer: Answer) -> None:
    CHECK.require(GRPOTrainer, "sequence_mean")


def test_the_loss_is_the_mean_over_tokens_where_the_settings_say_so(GRPOTrainer: Answer) -> None:
    CHECK.require(GRPOTrainer, "token_mean")


def test_the_loss_is_divided_by_the_most_tokens_where_the_settings_say_so(GRPOTrainer: Answer) -> None:
    CHECK.require(GRPOTrainer, "constant")


def test_the_ratio_has_a_lower_and_an_upper_bound(GRPOTrainer: Answer) -> None:
    CHECK.require(GRPOTrainer, "other bounds")


def test_one_completion_is_a_batch_too(GRPOTrainer: Answer) -> None:
    CHECK.require(GRPOTrainer, "one completion")
