"""Drive `RLHFTrainer` on a GPT-2 of two layers: each of its three methods by itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.tiny import gpt2_folder
from rlhf_course.grading.drivers.plain import flat, plain, shift
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.memory import ReplayMemory, ReplayMinibatch

# The height of the wave that moves the policy away from its reference.
NOISE = 0.05
Settings = Mapping[str, Any]


def objective(
    answer: Any, settings: Settings, minibatch: Mapping[str, Tensor], head: Sequence[Tensor]
) -> dict[str, Any]:
    """Call `compute_rlhf_objective` on a minibatch.

    Args:
        answer: The learner's class.
        settings: The fields of `RLHFArgs`.
        minibatch: The fields of `ReplayMinibatch`.
        head: The weights of the value head.

    Returns:
        `objective`, and `gradients`: those of the transformer (`base`) and of the head (`head`), as vectors.
    """
    trainer = _trainer(answer, settings, head)
    result = trainer.compute_rlhf_objective(ReplayMinibatch(**minibatch))
    if isinstance(result, Tensor) and result.numel() == 1 and result.requires_grad:
        result.reshape(()).backward()
    parts = _parts(trainer).items()
    gradients = {name: flat(parameter.grad for parameter in parameters) for name, parameters in parts}
    observation: dict[str, Any] = plain({"objective": result, "gradients": gradients})
    return observation


def rollout(answer: Any, settings: Settings, rewards: Tensor, head: Sequence[Tensor]) -> dict[str, Any]:
    """Call `rollout_phase` with a reward function that returns fixed rewards.

    Args:
        answer: The learner's class.
        settings: The fields of `RLHFArgs` except `reward_fn`.
        rewards: The rewards, shape (batch,).
        head: The weights of the value head.

    Returns:
        `memory`, the type of the returned memory; its tensors by name; `carrying`, the names of those that require a
        gradient; `texts`, the texts of each call of the reward function; and `rewards`, the rewards after the rollout.
    """
    given = rewards.clone()
    texts: list[list[str]] = []

    def reward_fn(samples: list[str]) -> Tensor:
        texts.append(list(samples))
        return given

    trainer = _trainer(answer, {**settings, "reward_fn": reward_fn}, head)
    memory = trainer.rollout_phase()
    names = ("sample_ids", "logprobs", "advantages", "values", "ref_logits", "returns")
    tensors = {name: getattr(memory, name, None) for name in names}
    carrying = [name for name, tensor in tensors.items() if getattr(tensor, "requires_grad", False)]
    kind = type(memory).__name__
    observation: dict[str, Any] = plain(
        {"memory": kind, **tensors, "carrying": carrying, "texts": texts, "rewards": given}
    )
    return observation


def learning(
    answer: Any,
    settings: Settings,
    slopes: Sequence[float],
    offsets: Sequence[float],
    head: Sequence[Tensor],
    phases: int = 1,
) -> dict[str, Any]:
    """Call `learning_phase` on a memory of as many minibatches as there are slopes.

    A linear function replaces the answer's own objective: for each minibatch its offset, plus its slope times the
    distance that the parameters have moved along a fixed direction of that minibatch.

    Args:
        answer: The learner's class.
        settings: The fields of `RLHFArgs`.
        slopes: The slope of each minibatch's objective.
        offsets: The offset of each minibatch's objective.
        head: The weights of the value head.
        phases: The number of calls of `learning_phase`.

    Returns:
        `phases`: for each phase `minibatches`, the numbers of the minibatches in the order in which the objective was
        computed; `result`, the result of the method; `step`, the trainer's step; `rates`, the learning rates for the
        next phase; and `moved`, the difference of both parts' parameters from their start.
    """
    trainer = _trainer(answer, settings, head)
    parts = _parts(trainer)
    start = {name: flat(parameters).clone() for name, parameters in parts.items()}
    minibatches: list[int] = []
    trainer.compute_rlhf_objective = _linear_objective(trainer, slopes, offsets, minibatches)
    observations = []
    for _ in range(phases):
        minibatches.clear()
        result = trainer.learning_phase(_NumberedMemory(trainer.args, len(slopes)))
        moved = {name: flat(parameters) - start[name] for name, parameters in parts.items()}
        rates = [float(group["lr"]) for group in trainer.optimizer.param_groups]
        observation = {
            "minibatches": minibatches,
            "result": result,
            "step": trainer.step,
            "rates": rates,
            "moved": moved,
        }
        observations.append(plain(observation))
    return {"phases": observations}


class _NumberedMemory(ReplayMemory):
    """A memory whose minibatches come in order and hold their own number as every token id.

    Args:
        args: The trainer's settings.
        count: The number of minibatches.
    """

    _PREFIX_LEN, _VOCAB = 3, 37

    def __init__(self, args: RLHFArgs, count: int) -> None:
        seq = args.gen_len + self._PREFIX_LEN
        blank, values = torch.zeros(args.batch_size, args.gen_len), torch.zeros(args.batch_size, seq)
        ids = torch.zeros((args.batch_size, seq), dtype=torch.long)
        ref_logits = torch.zeros(args.batch_size, seq, self._VOCAB)
        super().__init__(args, ids, blank, blank, values, ref_logits)
        self._count = count

    def get_minibatches(self) -> Iterator[ReplayMinibatch]:
        """Yield the minibatches in order."""
        rows, gen_len, seq = self.args.minibatch_size, self.args.gen_len, self.args.gen_len + self._PREFIX_LEN
        for number in range(self._count):
            blank = torch.zeros(rows, gen_len)
            ids, ref_logits = torch.full((rows, seq), number), torch.zeros(rows, seq, self._VOCAB)
            yield ReplayMinibatch(ids, blank, blank, blank, ref_logits)


def _linear_objective(
    trainer: Any, slopes: Sequence[float], offsets: Sequence[float], minibatches: list[int]
) -> Callable[[Any], Tensor]:
    """Return the objective that `learning` describes; it appends the number of each minibatch to `minibatches`."""
    parameters = [parameter for part in _parts(trainer).values() for parameter in part]
    start = [parameter.detach().clone() for parameter in parameters]

    def objective(minibatch: Any) -> Tensor:
        number = int(minibatch.sample_ids[0, 0])
        minibatches.append(number)
        distance = torch.zeros(())
        for parameter, origin in zip(parameters, start, strict=True):
            distance = distance + ((parameter - origin) * _direction(parameter, 3 * number + 1)).sum()
        return offsets[number] + slopes[number] * distance

    return objective


def _direction(parameter: Tensor, number: int) -> Tensor:
    """Return the direction of a number, as a tensor of the parameter's shape."""
    angles = torch.arange(parameter.numel(), dtype=parameter.dtype) + number
    return torch.cos(angles).reshape(parameter.shape) / parameter.numel()


def _trainer(answer: Any, settings: Settings, head: Sequence[Tensor]) -> Any:
    """Return a trainer with these head weights, whose policy differs from its reference."""
    trainer = answer(RLHFArgs(base_model=gpt2_folder(), **settings))
    with torch.no_grad():
        for parameter, numbers in zip(trainer.model.get_value_head_params(), head, strict=True):
            parameter.copy_(numbers)
    shift(trainer.model.get_base_model_trainable_params(), NOISE)
    return trainer


def _parts(trainer: Any) -> dict[str, list[nn.Parameter]]:
    return {"base": trainer.model.get_base_model_trainable_params(), "head": trainer.model.get_value_head_params()}
