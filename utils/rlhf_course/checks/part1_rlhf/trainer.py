"""Self-check of `RLHFTrainer`, on a GPT-2 of two layers; each of its three methods is judged by itself."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.core import Case, Check, Observation, integers, normal, observe_result
from rlhf_course.checks.tiny import PROMPT, fill, gpt2_folder, on_the_cpu, reused_models

HINTS = (
    "Write the methods in the order in which a phase runs them: the rollout gathers what learning needs, with the old policy and "
    "without gradients; learning goes over it in minibatches; the objective is computed anew, with gradients, for each.",
    "Logits and values that chose the generated tokens are [:, -gen_len-1:-1] of whole sequences, and so are the reference's "
    "logits. `get_logprobs` wants whole sequences and `self.prefix_len`; `ReplayMemory` wants values and ref_logits whole. "
    "The advantages of the rollout are made from the rewards that are used, normalised or not.",
    "Rollout: get_samples with every sampling setting of self.args; one forward pass of self.model with its head, one of "
    "self.ref_model; self.reward; normalise if asked; ReplayMemory.",
    "Objective: forward with value head; logprobs; the slices; then clipped surrogate, minus value loss, plus entropy bonus, "
    "minus KL penalty. Learning, for each minibatch: zero_grad, objective, backward, clip the gradient's norm, step, count; "
    "after all of them one step of the scheduler; the mean of the objectives is returned.",
)
_BATCH, _GEN, _PREFIX = 6, 4, 3
_SEQ = _PREFIX + _GEN
_RAW = (0.0, 2.0, 7.0, 1.0, 1.0, 4.0)


def _trainer(trainer_class: Any, **settings: Any) -> Any:
    """A trainer whose policy has left its reference, with a head of known weights."""
    from rlhf_course.rl.args import RLHFArgs

    usual = {
        "base_model": gpt2_folder(),
        "prefix": PROMPT,
        "gen_len": _GEN,
        "batch_size": _BATCH,
        "num_minibatches": 3,
        "total_phases": 9,
        "warmup_steps": 2,
        "top_k": 1,
    }
    trainer = trainer_class(RLHFArgs(**{**usual, **settings}))
    trainer.log = lambda **metrics: None
    fill(trainer.model.get_value_head_params(), seed=91, scale=0.5)
    with torch.no_grad():
        for number, parameter in enumerate(trainer.model.get_base_model_trainable_params()):
            parameter += normal(*parameter.shape, seed=100 + number, scale=0.05)
    return trainer


# The objective.


def _objective(trainer_class: Any, settings: dict[str, Any]) -> Observation:
    from rlhf_course.rl.memory import ReplayMinibatch

    trainer = _trainer(trainer_class, **settings)
    sample_ids = integers(0, 37, 2, _SEQ, seed=92)
    sample_ids[:, :_PREFIX] = trainer.model.to_tokens(PROMPT)
    minibatch = ReplayMinibatch(
        sample_ids=sample_ids,
        logprobs=-3.5 + 0.2 * normal(2, _GEN, seed=93),
        advantages=normal(2, _GEN, seed=94),
        returns=2 * normal(2, _GEN, seed=95),
        ref_logits=normal(2, _SEQ, 37, seed=96),
    )
    objective = trainer.compute_rlhf_objective(minibatch)
    seen = {f"{key} of the objective": one for key, one in observe_result(objective).items() if key != "result"}
    if isinstance(objective, Tensor) and objective.numel() == 1:
        seen["objective"] = objective.reshape(())
        if objective.requires_grad:
            objective.reshape(()).backward()
        seen["norm of its gradient at the transformer"] = _norm(trainer.model.get_base_model_trainable_params())
        seen["norm of its gradient at the value head"] = _norm(trainer.model.get_value_head_params())
    return seen


def _norm(parameters: list[nn.Parameter]) -> float:
    return float(sum(float(one.grad.pow(2).sum()) for one in parameters if one.grad is not None) ** 0.5)


# The rollout.


def _rollout(trainer_class: Any, settings: dict[str, Any]) -> Observation:
    from rlhf_course.rl.memory import ReplayMemory

    texts: list[str] = []

    def reward_fn(samples: list[str]) -> Tensor:
        texts[:] = samples
        return torch.tensor([_RAW[number % len(_RAW)] for number in range(len(samples))])

    trainer = _trainer(trainer_class, reward_fn=reward_fn, **settings)
    memory = trainer.rollout_phase()
    if not isinstance(memory, ReplayMemory):
        return {"type of what rollout_phase returns": type(memory).__name__}
    ids = memory.sample_ids
    seen: Observation = {"number of texts, and of tokens in each": list(ids.shape)}
    if settings.get("top_k", 1) != 1:
        different = len(set(ids[:, _PREFIX].tolist()))
        return {**seen, "different first tokens sampled": str(different) if different <= 2 else "more than 2"}
    if not bool((ids == ids[0]).all()):
        return {**seen, "texts sampled with top_k=1 are equal": False}
    seen["sample_ids of the first text"] = ids[0]
    seen["texts that reward_fn was given"] = texts[:1]
    seen["logprobs"] = memory.logprobs
    seen["values of the first text"] = memory.values[0]
    seen["ref_logits of the first text, of token 7"] = memory.ref_logits[0, :, 7]
    seen["advantages before the last"] = memory.advantages[:, :-1]
    seen["rewards in the last advantages"] = _scale(memory.advantages[:, -1] + memory.values[:, -2])
    tensors = {
        "logprobs": memory.logprobs,
        "advantages": memory.advantages,
        "values": memory.values,
        "ref_logits": memory.ref_logits,
    }
    seen["carries a gradient"] = [name for name, tensor in tensors.items() if tensor.requires_grad]
    return seen


def _scale(rewards: Tensor) -> list[float] | str:
    """Rewards as they are, or that they are normalised, by either kind of standard deviation."""
    if abs(float(rewards.mean())) < 1e-3 and 0.85 < float(rewards.std(correction=0)) < 1.1:
        return "normalised"
    return rewards.tolist()


# Learning.


class _Memory:
    """A memory that hands out its minibatches in order."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.handed: list[int] = []

    def get_minibatches(self) -> Iterator[int]:
        for number in range(self.count):
            self.handed.append(number)
            yield number


def _learning(trainer_class: Any, settings: dict[str, Any]) -> Observation:
    trainer = _trainer(trainer_class, **settings)
    parameter = trainer.model.get_value_head_params()[0]
    for one in trainer.model.parameters():
        one.requires_grad_(one is parameter)
    seen: dict[str, list[Any]] = {"asked": [], "at the step": [], "rates": []}
    slopes = (30.0, 0.001, 4.0, 20.0)

    def objective(minibatch: int) -> Tensor:
        seen["asked"].append(minibatch)
        ascent = (parameter * torch.sign(normal(*parameter.shape, seed=97))).mean()
        return float(minibatch**2) + slopes[minibatch] * (ascent - ascent.detach())

    trainer.compute_rlhf_objective = objective
    counted = trainer.step
    with _watched(trainer, parameter, seen):
        result = trainer.learning_phase(_Memory(len(slopes)))
    return {
        "minibatches that the objective was computed of": seen["asked"],
        "norms of the gradient at the optimizer's steps": seen["at the step"],
        "growth of self.step": trainer.step - counted,
        "steps of the scheduler": len(seen["rates"]),
        "optimizer steps before the scheduler's": seen["rates"],
        "result": float(result)
        if isinstance(result, int | float) or getattr(result, "numel", lambda: 0)() == 1
        else str(type(result)),
        "result carries a gradient": bool(getattr(result, "requires_grad", False)),
    }


@contextlib.contextmanager
def _watched(trainer: Any, parameter: nn.Parameter, seen: dict[str, list[Any]]) -> Iterator[None]:
    """Record the steps of the trainer's optimizer and scheduler."""
    optimizer, scheduler = trainer.optimizer, trainer.scheduler
    step, schedule = optimizer.step, scheduler.step

    def optimizer_step(*args: Any, **kwargs: Any) -> Any:
        seen["at the step"].append(_norm([parameter]))
        return step(*args, **kwargs)

    def scheduler_step(*args: Any, **kwargs: Any) -> Any:
        seen["rates"].append(len(seen["at the step"]))
        return schedule(*args, **kwargs)

    optimizer.step, scheduler.step = optimizer_step, scheduler_step
    try:
        yield
    finally:
        del optimizer.step, scheduler.step


_METHODS = {"objective": _objective, "rollout": _rollout, "learning": _learning}


def _observe(trainer_class: Any, inputs: dict[str, Any]) -> Observation:
    with on_the_cpu(), reused_models():
        return _METHODS[inputs["method"]](trainer_class, inputs["settings"])


def _case(method: str, says: str, **settings: Any) -> Case:
    return Case(says, {"method": method, "settings": settings})


_MIXED = {"kl_coef": 0.9, "ent_coef": 0.31, "vf_coef": 0.6, "clip_coef": 0.2}
CASES = {
    "rollout": _case("rollout", "rollout_phase of 6 texts, normalize_reward=True", normalize_reward=True),
    "raw rewards": _case("rollout", "rollout_phase of 6 texts, normalize_reward=False", normalize_reward=False),
    "top_k": _case("rollout", "rollout_phase of 48 texts, top_k=2", batch_size=48, top_k=2),
    "temperature": _case(
        "rollout", "rollout_phase of 48 texts, top_k=9, temperature=0.0001", batch_size=48, top_k=9, temperature=1e-4
    ),
    "objective": _case(
        "objective", "compute_rlhf_objective of 2 texts, kl_coef=0.9, ent_coef=0.31, vf_coef=0.6", **_MIXED
    ),
    "learning": _case("learning", "learning_phase over 4 minibatches, max_grad_norm=0.5", max_grad_norm=0.5),
}
CHECK = Check("RLHFTrainer", CASES, _observe)


def test_a_rollout_holds_what_learning_needs(RLHFTrainer):
    CHECK.require(RLHFTrainer, "rollout")


def test_rewards_are_normalised_only_when_asked(RLHFTrainer):
    CHECK.require(RLHFTrainer, "raw rewards")


def test_sampling_uses_top_k(RLHFTrainer):
    CHECK.require(RLHFTrainer, "top_k")


def test_sampling_uses_the_temperature(RLHFTrainer):
    CHECK.require(RLHFTrainer, "temperature")


def test_the_objective_adds_and_takes_away_its_four_terms(RLHFTrainer):
    CHECK.require(RLHFTrainer, "objective")


def test_learning_steps_once_a_minibatch_and_the_schedule_once(RLHFTrainer):
    CHECK.require(RLHFTrainer, "learning")
