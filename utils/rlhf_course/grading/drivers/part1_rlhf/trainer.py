"""Drive `RLHFTrainer` on a GPT-2 of two layers: each of its methods by itself, and whole phases."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.tiny import gpt2_folder
from rlhf_course.grading.drivers.plain import flat, perturb, plain, watched_args, watched_settings, watched_torch
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.memory import ReplayMemory, ReplayMinibatch

# The height of the wave that moves the policy away from its reference.
NOISE = 0.05
# Where whole steps are compared, Adam's eps is so large that its steps are proportional to the gradient.
LINEAR_EPS = 100.0
MEMORY_TENSORS = ("sample_ids", "logprobs", "advantages", "values", "ref_logits")
# The numbers of the minibatches of a memory that no rollout has made: no token has such an id.
OTHER_MINIBATCHES = (700_001, 700_002, 700_003)
Settings = Mapping[str, Any]
Weights = Mapping[str, Any]
Parts = Mapping[str, list[nn.Parameter]]


def objective(
    answer: Any,
    settings: Settings,
    weights: Weights,
    minibatches: Sequence[Mapping[str, Tensor]],
    phases: Sequence[int],
) -> dict[str, Any]:
    """Call `compute_rlhf_objective` on minibatches, one after the other, with one trainer.

    Args:
        answer: The learner's class.
        settings: The fields of `RLHFArgs`.
        weights: See `_trainer`.
        minibatches: The fields of each `ReplayMinibatch`.
        phases: The number of finished phases before each call.

    Returns:
        `calls`: for each call `objective`; `minibatch`, the fields of the minibatch after the call; what
        `watched_torch` reports; and `args`, whether the settings are as they were. And `gradients`, those of the first
        objective at the transformer (`base`) and at the head (`head`), as vectors.
    """
    trainer, parts = _trainer(answer, settings, weights)
    calls: list[dict[str, Any]] = []
    for fields, phase in zip(minibatches, phases, strict=True):
        _go_to_phase(trainer, phase)
        minibatch = ReplayMinibatch(**{name: tensor.clone() for name, tensor in fields.items()})
        with watched_torch() as torch_report, watched_args(trainer) as args_report:
            result = trainer.compute_rlhf_objective(minibatch)
        if not calls:
            gradients = _gradients(result, parts)
        after = {name: getattr(minibatch, name) for name in fields}
        calls.append(plain({"objective": result, "minibatch": after, **torch_report, **args_report}))
    return {"calls": calls, "gradients": gradients}


def _gradients(result: Any, parts: Parts) -> dict[str, Tensor]:
    """Return the gradients of an objective, without those parameters that it does not depend on."""
    for part in parts.values():
        for parameter in part:
            parameter.grad = None
    if isinstance(result, Tensor) and result.numel() == 1 and result.requires_grad:
        result.reshape(()).backward()
    return {name: flat(parameter.grad for parameter in part) for name, part in parts.items()}


def _go_to_phase(trainer: Any, phase: int) -> None:
    """Let a trainer be where it is after some phases in which its parameters stayed as they were."""
    for _ in range(trainer.phase, phase):
        trainer.optimizer.zero_grad()
        trainer.optimizer.step()
        trainer.scheduler.step()
        trainer.step += trainer.args.num_minibatches * trainer.args.batches_per_learning_phase
        trainer.phase += 1


def phases(
    answer: Any,
    settings: Settings,
    weights: Weights,
    character_rewards: Sequence[float],
    count: int,
    learns: bool = False,
) -> dict[str, Any]:
    """Call `rollout_phase`, and `learning_phase` if asked, several times with one trainer.

    Args:
        answer: The learner's class.
        settings: The fields of `RLHFArgs` except `reward_fn`.
        weights: See `_trainer`.
        character_rewards: The reward of a text is the sum of its characters' rewards. That of a character is the entry
            at its code, modulo their number.
        count: The number of phases.
        learns: Whether the trainer learns from each rollout, with steps that are proportional to the gradient.

    Returns:
        `phases`: for each phase the memory's tensors by name; `inference`, whether one of these is an inference tensor;
        `recorded`, the raw reward that was recorded, or None; what `watched_settings` reports of the rollout; `args`,
        whether it left the settings as they were; and, if the trainer learnt, `moved`, how far both parts' parameters
        moved in the phase. Where learning raises an exception, nothing has moved, and there is no further phase.
        `others`: if the trainer learnt, the numbers of the minibatches that it reads where it learns, after the phases,
        from a memory that holds `OTHER_MINIBATCHES`; None where that raises an exception.
    """

    def reward_fn(samples: list[str]) -> Tensor:
        size = len(character_rewards)
        return torch.tensor([float(sum(character_rewards[ord(char) % size] for char in text)) for text in samples])

    trainer, parts = _trainer(answer, {**settings, "reward_fn": reward_fn}, weights)
    if learns:
        _set_optimizer(trainer, eps=LINEAR_EPS, weight_decay=0.0)
    observations = []
    for _ in range(count):
        trainer._raw_reward = None
        with watched_settings() as settings_report, watched_args(trainer) as args_report:
            memory = trainer.rollout_phase()
        get = memory.get if isinstance(memory, dict) else lambda name, memory=memory: getattr(memory, name, None)
        observation = {name: get(name) for name in MEMORY_TENSORS}
        observation["inference"] = any(isinstance(got, Tensor) and got.is_inference() for got in observation.values())
        observation["recorded"] = trainer._raw_reward
        observation = plain({**observation, **settings_report, **args_report})
        observations.append(observation)
        if learns:
            observation["moved"] = None
            try:
                with _movement(parts) as moved:
                    trainer.learning_phase(memory)
            except Exception:  # The rollout is judged by itself, and so is learning.
                break
            observation["moved"] = moved
            trainer.phase += 1
    return {"phases": observations, "others": _minibatches_of_another_memory(trainer, parts) if learns else None}


def _minibatches_of_another_memory(trainer: Any, parts: Parts) -> list[int] | None:
    """Let a trainer learn from a numbered memory, and return the numbers of the minibatches that it reads."""
    read: list[int] = []

    def objective(minibatch: Any) -> Tensor:
        read.append(int(minibatch.sample_ids[0, 0]))
        return torch.stack([0.0 * parameter.sum() for part in parts.values() for parameter in part]).sum()

    trainer.compute_rlhf_objective = objective
    try:
        trainer.learning_phase(_NumberedMemory(trainer.args, OTHER_MINIBATCHES))
    except Exception:  # Learning is judged by itself.
        return None
    return read


def learning(
    answer: Any,
    settings: Settings,
    weights: Weights,
    slopes: Sequence[float],
    offsets: Sequence[float],
    angle: float,
    count: int = 1,
) -> dict[str, Any]:
    """Call `learning_phase` on a memory of as many minibatches as there are slopes.

    A linear function replaces the answer's own objective: for each minibatch its offset, plus its slope times the
    distance that the parameters have moved along a fixed direction of that minibatch. Adam's eps is 1, and weights do
    not decay.

    Args:
        answer: The learner's class.
        settings: The fields of `RLHFArgs`.
        weights: See `_trainer`.
        slopes: The slope of each minibatch's objective.
        offsets: The offset of each minibatch's objective.
        angle: Turns the directions.
        count: The number of calls of `learning_phase`.

    Returns:
        `phases`: for each phase `minibatches`, the numbers of the minibatches in the order in which the objective was
        computed; `result`, the result of the method; `attached`, whether it requires a gradient; `step`, the trainer's
        step; what `watched_torch` reports; `args`, whether the settings are as they were; `rates`, the optimizer's
        learning rates after the phase; and `moved`, how far both parts' parameters moved in the phase.
    """
    trainer, parts = _trainer(answer, settings, weights)
    _set_optimizer(trainer, eps=1.0, weight_decay=0.0)
    minibatches: list[int] = []
    trainer.compute_rlhf_objective = _linear_objective(parts, slopes, offsets, angle, minibatches)
    observations = []
    for _ in range(count):
        minibatches.clear()
        with _movement(parts) as moved, watched_torch() as torch_report, watched_args(trainer) as args_report:
            result = trainer.learning_phase(_NumberedMemory(trainer.args, range(len(slopes))))
        attached = bool(getattr(result, "requires_grad", False))
        observation = {"minibatches": minibatches, "result": result, "attached": attached, "step": trainer.step}
        observation |= {"rates": [group["lr"] for group in trainer.optimizer.param_groups], "moved": moved}
        observations.append(plain({**observation, **torch_report, **args_report}))
        trainer.phase += 1
    return {"phases": observations}


@contextmanager
def _movement(parts: Parts) -> Iterator[dict[str, Tensor]]:
    """Yield a dict; when the block ends, it holds how far the parameters of each part moved in the block."""
    start = {name: flat(part).clone() for name, part in parts.items()}
    moved: dict[str, Tensor] = {}
    yield moved
    moved |= {name: flat(part) - start[name] for name, part in parts.items()}


def _set_optimizer(trainer: Any, **options: float) -> None:
    for group in trainer.optimizer.param_groups:
        group.update(options)


class _NumberedMemory(ReplayMemory):
    """A memory whose minibatches come in order and hold their own number as every token id.

    Args:
        args: The trainer's settings.
        numbers: The numbers of the minibatches.
    """

    _PREFIX_LEN, _VOCAB = 3, 37

    def __init__(self, args: RLHFArgs, numbers: Iterable[int]) -> None:
        seq = args.gen_len + self._PREFIX_LEN
        blank, values = torch.zeros(args.batch_size, args.gen_len), torch.zeros(args.batch_size, seq)
        ids = torch.zeros((args.batch_size, seq), dtype=torch.long)
        ref_logits = torch.zeros(args.batch_size, seq, self._VOCAB)
        super().__init__(args, ids, blank, blank, values, ref_logits)
        self._numbers = tuple(numbers)

    def get_minibatches(self) -> list[ReplayMinibatch]:  # type: ignore[override]
        """Return the minibatches in order."""
        rows, gen_len, seq = self.args.minibatch_size, self.args.gen_len, self.args.gen_len + self._PREFIX_LEN
        blank, ref_logits = torch.zeros(rows, gen_len), torch.zeros(rows, seq, self._VOCAB)
        return [
            ReplayMinibatch(torch.full((rows, seq), number), blank, blank, blank, ref_logits)
            for number in self._numbers
        ]


def _linear_objective(
    parts: Parts, slopes: Sequence[float], offsets: Sequence[float], angle: float, minibatches: list[int]
) -> Callable[[Any], Tensor]:
    """Return the objective that `learning` describes; it appends the number of each minibatch to `minibatches`."""
    parameters = [parameter for part in parts.values() for parameter in part]
    directions = [[_direction(item, 3 * number + angle) for item in parameters] for number in range(len(slopes))]
    starts = [float(_along(parameters, direction)) for direction in directions]

    def objective(minibatch: Any) -> Tensor:
        number = int(minibatch.sample_ids[0, 0])
        minibatches.append(number)
        return offsets[number] + slopes[number] * (_along(parameters, directions[number]) - starts[number])

    return objective


def _along(parameters: Sequence[Tensor], direction: Sequence[Tensor]) -> Tensor:
    """Return how far parameters lie along a direction."""
    products = [torch.dot(item.flatten(), part) for item, part in zip(parameters, direction, strict=True)]
    return torch.stack(products).sum()


def _direction(parameter: Tensor, angle: float) -> Tensor:
    """Return the part of an angle's direction that belongs to a parameter, as a vector."""
    return torch.cos(torch.arange(parameter.numel(), dtype=parameter.dtype) + angle) / parameter.numel()


def _trainer(answer: Any, settings: Settings, weights: Weights) -> tuple[Any, Parts]:
    """Return a trainer whose policy differs from its reference, and its trainable parameters by part.

    Args:
        answer: The learner's class.
        settings: The fields of `RLHFArgs`.
        weights: `head`, the weights of the value head; `gain` and `phase`, with which `perturb` changes the policy.
    """
    trainer = answer(RLHFArgs(base_model=gpt2_folder(), **settings))
    model = trainer.model
    parts = {"base": list(model.get_base_model_trainable_params()), "head": list(model.get_value_head_params())}
    with torch.no_grad():
        for parameter, numbers in zip(parts["head"], weights["head"], strict=True):
            parameter.copy_(numbers)
    perturb(parts["base"], NOISE, weights["gain"], weights["phase"])
    return trainer, parts
