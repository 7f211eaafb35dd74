"""Self-check of `RLHFTrainer`, on a GPT-2 of two layers; each of its three methods is checked alone."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.core import Answer, Case, Check, Observation, integers, normal, observe_result
from rlhf_course.checks.tiny import PROMPT, fill, gpt2_folder, on_the_cpu, reused_models

HINTS = (
    "Write the methods in the order in which a phase runs them. The rollout collects what learning needs, with the old "
    "policy and without gradients. Learning iterates over it in minibatches, and computes the objective, with "
    "gradients, for each.",
    "The logits and values from which the generated tokens were chosen are [:, -gen_len-1:-1] of the whole sequences, "
    "and so are the reference's logits. `get_logprobs` takes whole sequences and `self.prefix_len`; `ReplayMemory` "
    "takes values and ref_logits of whole sequences. The rollout's advantages are computed from the rewards that are "
    "used, normalised or not.",
    "Rollout: call get_samples with every sampling setting of self.args; run one forward pass of self.model with its "
    "head, and one of self.ref_model; call self.reward; normalise if the settings say so; return a ReplayMemory.",
    "Objective: forward pass with value head; logprobs; the slices; then clipped surrogate, minus value loss, plus "
    "entropy bonus, minus KL penalty. Learning, for each minibatch: zero_grad, objective, backward, clip the "
    "gradient's norm, step, increment self.step. After all minibatches take one step of the scheduler, and return the "
    "mean of the objectives.",
)
_BATCH, _GEN, _PREFIX = 6, 4, 3
_SEQ = _PREFIX + _GEN
_RAW_REWARDS = (0.0, 2.0, 7.0, 1.0, 1.0, 4.0)


def _trainer(trainer_class: Any, **settings: Any) -> Any:
    """Return a trainer whose policy differs from its reference, and whose value head has fixed weights."""
    from rlhf_course.rl.args import RLHFArgs

    defaults = {
        "base_model": gpt2_folder(),
        "prefix": PROMPT,
        "gen_len": _GEN,
        "batch_size": _BATCH,
        "num_minibatches": 3,
        "total_phases": 9,
        "warmup_steps": 2,
        "top_k": 1,
    }
    trainer = trainer_class(RLHFArgs(**{**defaults, **settings}))
    trainer.log = lambda **metrics: None
    fill(trainer.model.get_value_head_params(), seed=91, scale=0.5)
    with torch.no_grad():
        for index, parameter in enumerate(trainer.model.get_base_model_trainable_params()):
            parameter += normal(*parameter.shape, seed=100 + index, scale=0.05)
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
        ref_logits=3 * normal(2, _SEQ, 37, seed=96),
    )
    objective = trainer.compute_rlhf_objective(minibatch)
    observation = {
        f"{key} of the objective": value for key, value in observe_result(objective).items() if key != "result"
    }
    if isinstance(objective, Tensor) and objective.numel() == 1:
        observation["objective"] = objective.reshape(())
        if objective.requires_grad:
            objective.reshape(()).backward()
        observation["norm of its gradient at the transformer"] = _grad_norm(
            trainer.model.get_base_model_trainable_params()
        )
        observation["norm of its gradient at the value head"] = _grad_norm(trainer.model.get_value_head_params())
    return observation


def _grad_norm(parameters: list[nn.Parameter]) -> float:
    squares = [float(parameter.grad.pow(2).sum()) for parameter in parameters if parameter.grad is not None]
    return float(sum(squares) ** 0.5)


# The rollout.


def _rollout(trainer_class: Any, settings: dict[str, Any]) -> Observation:
    from rlhf_course.rl.memory import ReplayMemory

    texts: list[str] = []

    def reward_fn(samples: list[str]) -> Tensor:
        texts[:] = samples
        return torch.tensor([_RAW_REWARDS[index % len(_RAW_REWARDS)] for index in range(len(samples))])

    trainer = _trainer(trainer_class, reward_fn=reward_fn, **settings)
    memory = trainer.rollout_phase()
    if not isinstance(memory, ReplayMemory):
        return {"type of what rollout_phase returns": type(memory).__name__}
    ids = memory.sample_ids
    observation: Observation = {"number of texts, and of tokens in each": list(ids.shape)}
    if settings.get("top_k", 1) != 1:
        distinct = len(set(ids[:, _PREFIX].tolist()))
        return {**observation, "different first tokens sampled": str(distinct) if distinct <= 2 else "more than 2"}
    observation["texts sampled with top_k=1 are equal"] = bool((ids == ids[0]).all())
    if not observation["texts sampled with top_k=1 are equal"]:
        return observation
    assert memory.values is not None, "the trainer's policy has a value head"
    observation["sample_ids of the first text"] = ids[0]
    observation["texts that reward_fn was given"] = texts[:1]
    observation["logprobs"] = memory.logprobs
    observation["values of the first text"] = memory.values[0]
    observation["ref_logits of the first text, of token 7"] = memory.ref_logits[0, :, 7]
    observation["advantages before the last"] = memory.advantages[:, :-1]
    observation["rewards in the last advantages"] = _describe_scale(memory.advantages[:, -1] + memory.values[:, -2])
    tensors = {
        "logprobs": memory.logprobs,
        "advantages": memory.advantages,
        "values": memory.values,
        "ref_logits": memory.ref_logits,
    }
    observation["carries a gradient"] = [name for name, tensor in tensors.items() if tensor.requires_grad]
    return observation


def _describe_scale(rewards: Tensor) -> list[float] | str:
    """Return the rewards, or "normalised" if they are; either definition of the standard deviation is accepted."""
    if abs(float(rewards.mean())) < 1e-3 and 0.85 < float(rewards.std(correction=0)) < 1.1:
        return "normalised"
    return rewards.tolist()


# Learning.


class _Memory:
    """A memory whose minibatches are the numbers from 0, in order."""

    def __init__(self, count: int) -> None:
        self.count = count

    def get_minibatches(self) -> list[int]:
        return list(range(self.count))


@dataclass
class _LearningLog:
    """The calls of the objective, of the optimizer and of the scheduler in a learning phase."""

    minibatches: list[int] = field(default_factory=list)
    grad_norms: list[float] = field(default_factory=list)
    optimizer_steps_at_schedule: list[int] = field(default_factory=list)


def _learning(trainer_class: Any, settings: dict[str, Any]) -> Observation:
    trainer = _trainer(trainer_class, **settings)
    weight, *others = trainer.model.get_value_head_params() + trainer.model.get_base_model_trainable_params()
    direction = torch.sign(normal(*weight.shape, seed=97))
    log = _LearningLog()
    # Steep enough that clipping the gradient's entries, or its norm to 1, differs from clipping its norm as asked.
    slopes = (3000.0, 0.001, 4.0, 2000.0)

    def objective(minibatch: int) -> Tensor:
        log.minibatches.append(minibatch)
        ascent = (weight * direction).mean()
        # Every other parameter has a gradient, which is zero, and whose entries are no views of one number.
        nothing = sum((0.0 * parameter).sum() for parameter in others)
        return float(minibatch**2) + slopes[minibatch] * (ascent - ascent.detach()) + nothing

    trainer.compute_rlhf_objective = objective
    first_step, first_weight = trainer.step, weight.detach().clone()
    with _logged_steps(trainer, weight, log):
        result = trainer.learning_phase(_Memory(len(slopes)))
    is_scalar = isinstance(result, int | float) or getattr(result, "numel", lambda: 0)() == 1
    return {
        "minibatches that the objective was computed of": log.minibatches,
        "norms of the gradient at the optimizer's steps": log.grad_norms,
        "learning moves the weights up the objective": float(((weight - first_weight) * direction).sum()) > 0,
        "growth of self.step": trainer.step - first_step,
        "steps of the scheduler": len(log.optimizer_steps_at_schedule),
        "optimizer steps before the scheduler's": log.optimizer_steps_at_schedule,
        "result": float(result) if is_scalar else str(type(result)),
        "result carries a gradient": bool(getattr(result, "requires_grad", False)),
    }


@contextlib.contextmanager
def _logged_steps(trainer: Any, weight: nn.Parameter, log: _LearningLog) -> Iterator[None]:
    """Log the steps of the trainer's optimizer and scheduler inside the `with` block."""
    scheduler = trainer.scheduler
    original_schedule = scheduler.step
    # After a step, because `step` may itself compute the gradient, by a closure.
    hook = trainer.optimizer.register_step_post_hook(lambda *_: log.grad_norms.append(_grad_norm([weight])))

    def scheduler_step(*args: Any, **kwargs: Any) -> Any:
        log.optimizer_steps_at_schedule.append(len(log.grad_norms))
        return original_schedule(*args, **kwargs)

    scheduler.step = scheduler_step
    try:
        yield
    finally:
        hook.remove()
        del scheduler.step


_METHODS = {"compute_rlhf_objective": _objective, "rollout_phase": _rollout, "learning_phase": _learning}


def _observe(trainer_class: Answer, inputs: Mapping[str, Any]) -> Observation:
    with on_the_cpu(), reused_models():
        return _METHODS[inputs["method"]](trainer_class, inputs["settings"])


def _case(method: str, on_what: str, **settings: Any) -> Case:
    return Case(f"{method} {on_what}", {"method": method, "settings": settings}, method)


_COEFFICIENTS = {"kl_coef": 0.9, "ent_coef": 0.31, "vf_coef": 0.6, "clip_coef": 0.2}
CASES = {
    "rollout": _case("rollout_phase", "of 6 texts, normalize_reward=True", normalize_reward=True),
    "raw rewards": _case("rollout_phase", "of 6 texts, normalize_reward=False", normalize_reward=False),
    "no token before the prefix": _case("rollout_phase", "of 6 texts, prepend_bos=False", prepend_bos=False),
    "top_k": _case("rollout_phase", "of 48 texts, top_k=2", batch_size=48, top_k=2),
    "temperature": _case(
        "rollout_phase", "of 48 texts, top_k=9, temperature=0.0001", batch_size=48, top_k=9, temperature=1e-4
    ),
    "objective": _case(
        "compute_rlhf_objective", "of 2 texts, kl_coef=0.9, ent_coef=0.31, vf_coef=0.6", **_COEFFICIENTS
    ),
    "learning": _case("learning_phase", "over 4 minibatches, max_grad_norm=0.5", max_grad_norm=0.5, warmup_steps=0),
}
CHECK = Check("RLHFTrainer", CASES, _observe, is_called_with_inputs=False)


def test_a_rollout_holds_what_learning_needs(RLHFTrainer: Answer) -> None:
    CHECK.require(RLHFTrainer, "rollout")


def test_rewards_are_normalised_only_when_asked(RLHFTrainer: Answer) -> None:
    CHECK.require(RLHFTrainer, "raw rewards")


def test_a_rollout_without_a_token_before_the_prefix_works(RLHFTrainer: Answer) -> None:
    CHECK.require(RLHFTrainer, "no token before the prefix")


def test_sampling_uses_top_k(RLHFTrainer: Answer) -> None:
    CHECK.require(RLHFTrainer, "top_k")


def test_sampling_uses_the_temperature(RLHFTrainer: Answer) -> None:
    CHECK.require(RLHFTrainer, "temperature")


def test_the_objective_adds_and_takes_away_its_four_terms(RLHFTrainer: Answer) -> None:
    CHECK.require(RLHFTrainer, "objective")


def test_learning_steps_once_a_minibatch_and_the_schedule_once(RLHFTrainer: Answer) -> None:
    CHECK.require(RLHFTrainer, "learning")
