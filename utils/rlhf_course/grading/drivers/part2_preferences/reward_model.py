"""Drive `RewardModel` on small GPT-2s, whose weights the judge chooses.

Each driver makes a model of its own, and returns only `{"base class": False}` for an answer that does not extend
`BridgeModel`. A driver takes the weights of the transformer by their names in the bridge, without the names of wrapped
components, and weight and bias of the reward head. If the head's parameters have other shapes, the driver returns only
these shapes, as `head`. With `own_head=False` the driver gives the model a right head, so that the rest of an answer
can be judged where its head is wrong.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rlhf_course.checks.tiny import gpt2_folder
from rlhf_course.grading.drivers.bridge_models import callers_hooks, fill, for_subclasses, named_parameters
from rlhf_course.grading.drivers.plain import plain, watched_torch
from rlhf_course.rl import models

_MAX_NUMBERS = 8


@for_subclasses
def heads(answer: Any, width: int, count: int) -> dict[str, Any]:
    """Make several new reward heads for some width.

    Args:
        answer: The learner's class.
        width: The width of the residual stream.
        count: How many heads to make.

    Returns:
        `kinds`, the name of a head's class, or that of the linear layer that it extends; `parameters`, the parameters
        of each; and what `watched_torch` reports.
    """
    model = answer.from_pretrained(gpt2_folder())
    with watched_torch() as torch_report:
        made = [model.make_reward_head(width) for _ in range(count)]
    parameters = [list(head.parameters()) if isinstance(head, nn.Module) else [] for head in made]
    kinds = ["Linear" if isinstance(head, nn.Linear) else type(head).__name__ for head in made[:1]]
    return {"kinds": kinds, "parameters": parameters, **torch_report}


@for_subclasses
def rewards(
    answer: Any,
    transformer: Mapping[str, Tensor],
    weights: Sequence[Tensor],
    batches: Sequence[Sequence[Tensor]],
    own_head: bool = True,
    dtype: str = "float32",
    training: bool = True,
    later_transformer: Mapping[str, Tensor] | None = None,
    later_weights: Sequence[Tensor] = (),
) -> dict[str, Any]:
    """Compute the rewards of several batches with one model.

    Args:
        answer: The learner's class.
        transformer: The weights of the transformer.
        weights: Weight and bias of the reward head.
        batches: Token ids and attention mask of each batch, both of shape (batch, seq).
        own_head: Whether the head is the answer's.
        dtype: The name of the dtype that the model is cast to.
        training: Whether the model is in training mode.
        later_transformer: Weights that are written to the transformer after the batches, which are then repeated.
        later_weights: The weights of the reward head that are written then, too.

    Returns:
        `rewards`, a result a batch; `changed`, whether an input was changed in place; `left`, what the calls have
        changed in the model; `value head`, whether the model has one; what `watched_torch` reports of the calls;
        `attached`, whether a reward has a gradient where the caller computes none; and `hooks`, whether a caller's own
        hooks still run after a call.
    """
    model = _model(answer, own_head)
    if (found := fill(model, model.reward_head, transformer, weights)) is not None:
        return {"head": found}
    results: list[Any] = []
    left: list[str] = []
    changed = False
    try:
        if dtype != "float32":
            model.to(getattr(torch, dtype))
        model.train(training)
        before = _state(model)
        with watched_torch() as torch_report:
            for input_ids, attention_mask in batches:
                passed = input_ids.clone(), attention_mask.clone()
                results.append(plain(model(*passed)))
                changed |= not (torch.equal(passed[0], input_ids) and torch.equal(passed[1], attention_mask))
                if len(results) in (1, len(batches)):  # A second call may undo what the first one did.
                    left += [words for words, value in _state(model).items() if value != before[words]]
        with callers_hooks(model.base_model) as all_run, torch.no_grad():
            result = model(*(each.clone() for each in batches[-1]))
            beside = {"attached": getattr(result, "requires_grad", False), "hooks": all_run(batches[-1][0])}
        if later_transformer is not None:
            fill(model, model.reward_head, later_transformer, later_weights)
            results += [plain(model(*(each.clone() for each in batch))) for batch in batches]
    finally:
        nn.Module.to(model.base_model, torch.float32)  # The transformer goes back to the pool of tiny models.
    has_value_head = model.value_head is not None
    report = {"rewards": results, "changed": changed, "left": left, "value head": has_value_head}
    return {**report, **torch_report, **beside}


def _state(model: Any) -> dict[str, Any]:
    """Return, by the words of a message, what a call of a model has to leave as it was."""
    modules = [model, *nn.Module.modules(model.base_model)]
    parameters = [*nn.Module.parameters(model.base_model), *model.reward_head.parameters()]
    return {
        "a hook": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules],
        "a training mode": [module.training for module in modules],
        "a weight that does not require a gradient": [parameter.requires_grad for parameter in parameters],
        "a changed weight": [float(parameter.detach().double().sum()) for parameter in parameters],
    }


@for_subclasses
def refusal(
    answer: Any, transformer: Mapping[str, Tensor], weights: Sequence[Tensor], input_ids: Tensor, attention_mask: Tensor
) -> dict[str, Any]:
    """Call a model with a batch of which one row has no real token.

    Returns:
        `exceptions`, the names of the classes of the exception that it raises; and `numbers`, the whole numbers in its
        message. Nothing where a result came.
    """
    model = _model(answer, own_head=False)
    fill(model, model.reward_head, transformer, weights)
    try:
        model(input_ids, attention_mask)
    except Exception as error:
        numbers = [int(digits) for digits in re.findall(r"(?<!\d)\d{1,4}(?!\d)", str(error))[:_MAX_NUMBERS]]
        return {"exceptions": [kind.__name__ for kind in type(error).__mro__], "numbers": numbers}
    return {}


@for_subclasses
def gradients(
    answer: Any,
    transformer: Mapping[str, Tensor],
    weights: Sequence[Tensor],
    input_ids: Tensor,
    attention_mask: Tensor,
    of_rewards: Tensor,
    own_head: bool = True,
    training: bool = True,
) -> dict[str, Any]:
    """Compute the gradients of a weighted sum of the rewards.

    Args:
        answer: The learner's class.
        transformer: The weights of the transformer.
        weights: Weight and bias of the reward head.
        input_ids: Token ids, shape (batch, seq).
        attention_mask: The mask, of the same shape.
        of_rewards: The weight of each reward in the sum.
        own_head: Whether the head is the answer's.
        training: Whether the model is in training mode.

    Returns:
        `rewards`; `transformer`, the gradients of the transformer's trainable parameters by name; and `head`, those of
        the head's parameters. Only the rewards where they are not as many as wanted.
    """
    model = _model(answer, own_head)
    if (found := fill(model, model.reward_head, transformer, weights)) is not None:
        return {"head": found}
    model.train(training)
    result = model(input_ids, attention_mask)
    if not (isinstance(result, Tensor) and result.numel() == of_rewards.numel()):
        return {"rewards": result}
    total = (result.reshape(of_rewards.shape) * of_rewards).sum()
    if total.requires_grad:
        total.backward()
    found_gradients = {name: parameter.grad for name, parameter in named_parameters(model).items()}
    of_head = [parameter.grad for parameter in model.reward_head.parameters()]
    return {
        "rewards": result,
        "transformer": {name: found_gradients[name] for name in transformer},
        "head gradients": of_head,
    }


def _model(answer: Any, own_head: bool = True) -> Any:
    """Return a model of the answer, with a head of the answer's or with a right one."""
    if own_head:
        return answer.from_pretrained(gpt2_folder())
    right = {"make_reward_head": lambda self, d_model: nn.Linear(d_model, 1)}
    return type(answer.__name__, (answer,), right)(models.load_model(gpt2_folder()))
