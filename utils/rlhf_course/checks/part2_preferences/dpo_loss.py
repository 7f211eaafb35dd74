"""Self-check of `dpo_loss`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rlhf_course.checks.circumstances import in_float64, other_values, sliced, variations, with_equal_rows
from rlhf_course.checks.core import Answer, Case, Check, Observation, normal, observe_result, round_to_quarters

HINTS = (
    "The policy takes the place of the reward model: the implicit reward of a text is beta times its log-ratio, the "
    "policy's log-probability minus the reference's. The loss is that of Bradley and Terry with these rewards.",
    "All four tensors have shape [pairs], and so have the two log-ratios, the two rewards and the losses. Nothing is "
    "averaged. The loss needs the gradient of the rewards; what you return as rewards carries none.",
    "Subtract the reference's log-probabilities, detached, from the policy's, once for chosen and once for rejected, "
    "and multiply by beta. The losses are minus `logsigmoid` of the chosen reward minus the rejected one. Return the "
    "losses, and both rewards detached.",
)
_NAMES = ("losses", "chosen_rewards", "rejected_rewards")


def _logps(seed: int, pairs: int) -> dict[str, Any]:
    reference = [3 * normal(pairs, seed=seed + number) - 20 for number in range(2)]
    policy = [values + 2 * normal(pairs, seed=seed + 2 + number) for number, values in enumerate(reference)]
    return {
        "policy_chosen_logps": policy[0],
        "policy_rejected_logps": policy[1],
        "reference_chosen_logps": reference[0],
        "reference_rejected_logps": reference[1],
    }


_PAIRS = Case("four tensors of shape [4], beta = 0.3", {**_logps(261, 4), "beta": 0.3})
_EXTREME = {
    name: 1e4 * torch.tensor(signs) + round_to_quarters(normal(3, seed=271 + number))
    for number, (name, signs) in enumerate(
        {
            "policy_chosen_logps": [-1.0, 0.0, -1.0],
            "policy_rejected_logps": [0.0, -1.0, -1.0],
            "reference_chosen_logps": [0.0, -1.0, -1.0],
            "reference_rejected_logps": [-1.0, 0.0, -1.0],
        }.items()
    )
}
CASES = {
    "example": Case(
        "the notebook's example with beta = 0.5: policy -10, -14; reference -12, -12 (chosen, rejected)",
        {
            "policy_chosen_logps": torch.tensor([-10.0]),
            "policy_rejected_logps": torch.tensor([-14.0]),
            "reference_chosen_logps": torch.tensor([-12.0]),
            "reference_rejected_logps": torch.tensor([-12.0]),
            "beta": 0.5,
        },
    ),
    "pairs": _PAIRS,
    "policy is the reference": Case(
        "policy and reference alike, of shape [3], beta = 0.1",
        {
            "policy_chosen_logps": torch.tensor([-3.0, -5.0, -7.0]),
            "policy_rejected_logps": torch.tensor([-4.0, -4.0, -9.0]),
            "reference_chosen_logps": torch.tensor([-3.0, -5.0, -7.0]),
            "reference_rejected_logps": torch.tensor([-4.0, -4.0, -9.0]),
            "beta": 0.1,
        },
    ),
    "one pair": Case("one pair, beta = 1.5", {**_logps(281, 1), "beta": 1.5}),
    "extreme": Case("log-probabilities near 0 and -10000, of shape [3], beta = 0.5", {**_EXTREME, "beta": 0.5}),
}
CASES |= {
    "slices": sliced(CASES["pairs"]),
    "float64": in_float64(CASES["pairs"]),
    "other values": other_values(CASES["pairs"]),
    "equal rows": with_equal_rows(CASES["pairs"]),
}


def _observe(dpo_loss: Answer, inputs: Mapping[str, Any]) -> Observation:
    arguments = {name: _leaf(value) for name, value in inputs.items()}
    result = dpo_loss(*arguments.values())
    if not (isinstance(result, tuple | list) and len(result) == len(_NAMES)):
        return {"type of the result:": type(result).__name__}
    observation: Observation = {"type of the result:": "three results"}
    for name, value in zip(_NAMES, result, strict=True):
        seen = observe_result(value)
        observation |= {f"{name}: {key}": seen[key] for key in seen if key != "result"}
        observation[name] = seen.get("result", "-")
        if isinstance(value, Tensor):
            is_double = any(getattr(each, "dtype", None) == torch.float64 for each in inputs.values())
            observation |= {f"{name}: dtype": str(value.dtype)} if is_double else {}
    observation["the rewards carry a gradient"] = any(getattr(value, "requires_grad", False) for value in result[1:])
    observation |= _gradients(result[0], arguments)
    for name, value in inputs.items():
        if isinstance(value, Tensor):
            observation[f"{name} changed in place"] = not torch.equal(value, arguments[name].detach())
    return observation


def _leaf(value: Any) -> Any:
    """Return a copy of an argument that requires a gradient if it is a tensor."""
    return value.detach().clone().requires_grad_(True) if isinstance(value, Tensor) else value


def _gradients(losses: Any, arguments: Mapping[str, Any]) -> Observation:
    """Observe the gradient of a weighted sum of the losses at each tensor argument."""
    leaves = {name: value for name, value in arguments.items() if isinstance(value, Tensor)}
    if not (isinstance(losses, Tensor) and losses.requires_grad):
        return {f"gradient at {name}": "none" for name in leaves}
    weights = torch.arange(1, losses.numel() + 1, dtype=losses.dtype).reshape(losses.shape)
    total = (losses * weights).sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    is_none = [gradient is None or not bool(gradient.any()) for gradient in found]
    names = zip(leaves, found, is_none, strict=True)
    return {f"gradient at {name}": "none" if none else gradient for name, gradient, none in names}


_VARIATIONS = variations(_PAIRS, **_logps(291, 4), beta=1.2)
CHECK = Check("dpo_loss", CASES, _observe, variations=_VARIATIONS)


def test_the_example_of_the_notebook_gives_its_numbers(dpo_loss: Answer) -> None:
    CHECK.require(dpo_loss, "example")


def test_losses_rewards_and_gradients_are_those_of_each_pair(dpo_loss: Answer) -> None:
    CHECK.require(dpo_loss, "pairs")


def test_a_policy_that_equals_the_reference_has_no_rewards_and_the_loss_log_2(dpo_loss: Answer) -> None:
    CHECK.require(dpo_loss, "policy is the reference")


def test_one_pair_is_a_batch_too(dpo_loss: Answer) -> None:
    CHECK.require(dpo_loss, "one pair")


def test_extreme_log_probabilities_give_finite_numbers(dpo_loss: Answer) -> None:
    CHECK.require(dpo_loss, "extreme")


def test_slices_of_larger_tensors_give_the_same(dpo_loss: Answer) -> None:
    CHECK.require(dpo_loss, "slices")


def test_float64_gives_float64(dpo_loss: Answer) -> None:
    CHECK.require(dpo_loss, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(dpo_loss: Answer) -> None:
    CHECK.require(dpo_loss, "other values")


def test_equal_rows_each_count(dpo_loss: Answer) -> None:
    CHECK.require(dpo_loss, "equal rows")
