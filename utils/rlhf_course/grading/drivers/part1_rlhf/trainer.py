"""Drivers of `RLHFTrainer`, on a GPT-2 of two layers: each of its three methods by itself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.tiny import gpt2_folder
from rlhf_course.grading.drivers.plain import flat, plain, shift

NOISE = 0.05
Settings = Mapping[str, Any]


def objective(
    answer: Any, settings: Settings, minibatch: Mapping[str, Tensor], head: Sequence[Tensor]
) -> dict[str, Any]:
    """`compute_rlhf_objective` of a minibatch: its value, and its gradients at the transformer and at the head."""
    from rlhf_course.rl.memory import ReplayMinibatch

    trainer = _trainer(answer, settings, head)
    result = trainer.compute_rlhf_objective(ReplayMinibatch(**minibatch))
    seen: dict[str, Any] = {"objective": result}
    if isinstance(result, Tensor) and result.numel() == 1 and result.requires_grad:
        result.reshape(()).backward()
    gradients = {name: flat(one.grad for one in parameters) for name, parameters in _parts(trainer).items()}
    return plain({**seen, "gradients": gradients})


def rollout(answer: Any, settings: Settings, rewards: Tensor, head: Sequence[Tensor]) -> dict[str, Any]:
    """`rollout_phase`, with these rewards for the texts in turn: the memory, the texts that were rewarded, the rewards after it."""
    given = rewards.clone()
    texts: list[list[str]] = []

    def reward_fn(samples: list[str]) -> Tensor:
        texts.append(list(samples))
        return given

    trainer = _trainer(answer, {**settings, "reward_fn": reward_fn}, head)
    memory = trainer.rollout_phase()
    names = ("sample_ids", "logprobs", "advantages", "values", "ref_logits", "returns")
    held = {name: getattr(memory, name, None) for name in names}
    carrying = [name for name, one in held.items() if getattr(one, "requires_grad", False)]
    return plain({"memory": type(memory).__name__, **held, "carrying": carrying, "texts": texts, "rewards": given})


def learning(
    answer: Any,
    settings: Settings,
    slopes: Sequence[float],
    offsets: Sequence[float],
    head: Sequence[Tensor],
    phases: int = 1,
) -> dict[str, Any]:
    """`learning_phase`, a number of times, on a memory of as many minibatches as there are slopes.

    The objective of a minibatch stands in for the answer's own: its offset, plus its slope times how far the parameters
    have gone along a fixed direction of its own.

    Returns: for each phase the minibatches in the order in which the objective was asked of them, what was returned, the
    trainer's `step`, the learning rates for the next phase, and how far the parameters of both parts are from where they began.
    """
    trainer = _trainer(answer, settings, head)
    parts = _parts(trainer)
    start = {name: flat(parameters).clone() for name, parameters in parts.items()}
    asked: list[int] = []
    trainer.compute_rlhf_objective = _objective(trainer, slopes, offsets, asked)
    seen = []
    for _ in range(phases):
        asked.clear()
        result = trainer.learning_phase(_memory(trainer.args, len(slopes)))
        moved = {name: flat(parameters) - start[name] for name, parameters in parts.items()}
        rates = [float(group["lr"]) for group in trainer.optimizer.param_groups]
        seen.append(plain({"asked": asked, "result": result, "step": trainer.step, "rates": rates, "moved": moved}))
    return {"phases": seen}


def _memory(args: Any, count: int) -> Any:
    """A memory that hands out numbered minibatches in order."""
    from rlhf_course.rl.memory import ReplayMemory, ReplayMinibatch

    texts, rows, gen, seq, vocab = args.batch_size, args.minibatch_size, args.gen_len, args.gen_len + 3, 37

    def numbered() -> Iterator[ReplayMinibatch]:
        for number in range(count):
            blank = torch.zeros(rows, gen)
            yield ReplayMinibatch(torch.full((rows, seq), number), blank, blank, blank, torch.zeros(rows, seq, vocab))

    blank, ids = torch.zeros(texts, gen), torch.zeros((texts, seq), dtype=torch.long)
    memory = ReplayMemory(args, ids, blank, blank, torch.zeros(texts, seq), torch.zeros(texts, seq, vocab))
    memory.get_minibatches = numbered
    return memory


def _objective(trainer: Any, slopes: Sequence[float], offsets: Sequence[float], asked: list[int]) -> Any:
    parameters = [one for part in _parts(trainer).values() for one in part]
    start = [one.detach().clone() for one in parameters]

    def objective(minibatch: Any) -> Tensor:
        number = int(minibatch.sample_ids[0, 0])
        asked.append(number)
        gone = sum(
            ((one - was) * _direction(one, 3 * number + 1)).sum() for one, was in zip(parameters, start, strict=True)
        )
        return offsets[number] + slopes[number] * gone

    return objective


def _direction(parameter: Tensor, number: int) -> Tensor:
    angles = torch.arange(parameter.numel(), dtype=parameter.dtype) + number
    return torch.cos(angles).reshape(parameter.shape) / parameter.numel()


def _trainer(answer: Any, settings: Settings, head: Sequence[Tensor]) -> Any:
    """A trainer whose policy has left its reference, with a head of these weights."""
    from rlhf_course.rl.args import RLHFArgs

    trainer = answer(RLHFArgs(base_model=gpt2_folder(), **settings))
    with torch.no_grad():
        for parameter, numbers in zip(trainer.model.get_value_head_params(), head, strict=True):
            parameter.copy_(numbers)
    shift(trainer.model.get_base_model_trainable_params(), NOISE)
    return trainer


def _parts(trainer: Any) -> dict[str, list[nn.Parameter]]:
    return {"base": trainer.model.get_base_model_trainable_params(), "head": trainer.model.get_value_head_params()}
