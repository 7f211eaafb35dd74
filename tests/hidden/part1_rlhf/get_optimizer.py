"""Wrong and right answers to `get_optimizer`."""

import functools

import torch
from torch.optim import SGD, Adam, AdamW, NAdam, Optimizer

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _groups(model, base_lr, head_lr):
    return [
        {"params": model.get_base_model_trainable_params(), "lr": base_lr},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]


@visible_mistake(refused_with="The change of the transformer goes down the objective")
def minimizes(model, base_lr, head_lr):
    """The optimizer minimises: the objective is maximised, so `maximize=True` is needed."""
    return AdamW(_groups(model, base_lr, head_lr))


@visible_mistake(refused_with="The change of the transformer is that of the other part's learning rate")
def rates_swapped(model, base_lr, head_lr):
    """The two learning rates are swapped: the transformer gets base_lr, the head gets head_lr."""
    return AdamW(_groups(model, head_lr, base_lr), maximize=True)


@visible_mistake(refused_with="The change of the value head is that of the other part's learning rate")
def one_rate(model, base_lr, head_lr):
    """Both parts have base_lr: give the head's group an 'lr' of its own."""
    return AdamW(_groups(model, base_lr, base_lr), maximize=True)


@visible_mistake(refused_with="there should be two parameter groups")
def one_group(model, base_lr, head_lr):
    """All parameters are in one group; the head needs a group of its own, with its own rate."""
    return AdamW(model.get_base_model_trainable_params() + model.get_value_head_params(), lr=base_lr, maximize=True)


@visible_mistake(refused_with="The change of the value head is none")
def no_head(model, base_lr, head_lr):
    """The value head is missing, so it would never learn: add a group with its parameters."""
    return AdamW(_groups(model, base_lr, head_lr)[:1], maximize=True)


@visible_mistake(refused_with="The change of the transformer is none")
def no_transformer(model, base_lr, head_lr):
    """The transformer is missing, so the policy would never learn: add a group with its parameters."""
    return AdamW(_groups(model, base_lr, head_lr)[1:], maximize=True)


@visible_mistake(refused_with="is that of AdamW's default learning rate")
def default_rates(model, base_lr, head_lr):
    """The groups have AdamW's default learning rate, 0.001: each needs an 'lr'."""
    groups = [{"params": group["params"]} for group in _groups(model, base_lr, head_lr)]
    return AdamW(groups, maximize=True)


@visible_mistake(refused_with="with large weights is that of L2 decay, which is added to the gradient")
def adam_with_decay(model, base_lr, head_lr):
    """That is Adam with weight decay, which it adds to the gradient; AdamW keeps the decay out of it."""
    return Adam(_groups(model, base_lr, head_lr), maximize=True, weight_decay=0.01)


@visible_mistake(refused_with="is that of gradient ascent (SGD)")
def sgd(model, base_lr, head_lr):
    """That is plain gradient ascent (SGD); use AdamW."""
    return SGD(_groups(model, base_lr, head_lr), maximize=True)


@visible_mistake(refused_with="The change of the value head goes down the objective")
def head_minimizes(model, base_lr, head_lr):
    """Only one group maximises: pass `maximize=True` to AdamW itself, so that it holds for both."""
    groups = _groups(model, base_lr, head_lr)
    groups[0]["maximize"] = True
    return AdamW(groups)


@visible_mistake(refused_with="its parameters are not among those that the optimizer steps")
def copies(model, base_lr, head_lr):
    """These are copies of the parameters; pass the model's own tensors, or the model never changes."""
    groups = _groups(model, base_lr, head_lr)
    for group in groups:
        group["params"] = [parameter.detach().clone().requires_grad_(True) for parameter in group["params"]]
    return AdamW(groups, maximize=True)


@visible_mistake(refused_with="ValueError")
def twice(model, base_lr, head_lr):
    """`model.parameters()` holds the head too, and a parameter may be in one group only.

    Use get_base_model_trainable_params() for the transformer.
    """
    groups = [
        {"params": list(model.parameters()), "lr": base_lr},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]
    return AdamW(groups, maximize=True)


@visible_mistake(refused_with="with large weights is that of AdamW with another weight decay")
def strong_decay(model, base_lr, head_lr):
    """The weight decay is not AdamW's default: leave it out, or set it to 0."""
    return AdamW(_groups(model, base_lr, head_lr), maximize=True, weight_decay=0.1)


@visible_mistake(refused_with="get_optimizer should return an optimizer of torch.optim; a list came")
def plain_groups(model, base_lr, head_lr):
    """You return the list of groups; pass it to torch.optim.AdamW, and return the optimizer."""
    return _groups(model, base_lr, head_lr)


@hidden_mistake(refused_with="with changing gradients is that of AdamW with other betas")
def other_betas(model, base_lr, head_lr):
    """The betas are not AdamW's defaults."""
    return AdamW(_groups(model, base_lr, head_lr), maximize=True, betas=(0.9, 0.95))


@hidden_mistake(refused_with="there should be two parameter groups, one for each part")
def group_for_each_tensor(model, base_lr, head_lr):
    """Each tensor has a group of its own."""
    groups = _groups(model, base_lr, head_lr)
    return AdamW(
        [{"params": [parameter], "lr": group["lr"]} for group in groups for parameter in group["params"]], maximize=True
    )


@hidden_mistake(refused_with="The change of the value head is that of steps that are taken twice")
def held_twice(model, base_lr, head_lr):
    """The head's parameters are twice in their group, and take every step twice."""
    groups = _groups(model, base_lr, head_lr)
    groups[1]["params"] = groups[1]["params"] * 2
    return AdamW(groups, maximize=True)


@hidden_mistake(refused_with="is right, but some of its parameters do not move")
def biases_left_out(model, base_lr, head_lr):
    """Biases are in no group."""
    groups = _groups(model, base_lr, head_lr)
    for group in groups:
        group["params"] = [parameter for parameter in group["params"] if parameter.dim() > 1]
    return AdamW(groups, maximize=True)


@hidden_mistake(refused_with="is that of NAdam")
def nadam(model, base_lr, head_lr):
    """That is NAdam."""
    return NAdam(_groups(model, base_lr, head_lr), maximize=True)


@hidden_mistake(refused_with="with changing gradients is that of AMSGrad")
def amsgrad(model, base_lr, head_lr):
    """The second moment never falls (AMSGrad)."""
    return AdamW(_groups(model, base_lr, head_lr), maximize=True, amsgrad=True)


@hidden_mistake(refused_with="with changing gradients is that of AdamW with another eps")
def large_eps(model, base_lr, head_lr):
    """The number in the denominator is larger than AdamW's."""
    return AdamW(_groups(model, base_lr, head_lr), maximize=True, eps=1e-5)


@hidden_mistake(refused_with="gives no gradient to some parameters of the transformer: do not freeze them")
def transformer_frozen(model, base_lr, head_lr):
    """The transformer is frozen, so that only the head would ever have a gradient."""
    optimizer = AdamW(_groups(model, base_lr, head_lr), maximize=True)
    for group in optimizer.param_groups[:1]:
        for parameter in group["params"]:
            parameter.requires_grad_(False)
    return optimizer


@hidden_mistake(refused_with="which parameters require a gradient: leave the model as it is")
def everything_thawed(model, base_lr, head_lr):
    """All parameters require a gradient afterwards, also those on which no logit depends."""
    optimizer = AdamW(_groups(model, base_lr, head_lr), maximize=True)
    for parameter in torch.nn.Module.parameters(model):
        parameter.requires_grad_(True)
    return optimizer


@hidden_mistake(refused_with="its training mode: leave the model as it is")
def put_into_evaluation(model, base_lr, head_lr):
    """The model is in evaluation mode afterwards."""
    model.eval()
    return AdamW(_groups(model, base_lr, head_lr), maximize=True)


@hidden_mistake(refused_with="get_optimizer changes a setting of torch for all later code, whether its algorithms are")
def makes_algorithms_deterministic(model, base_lr, head_lr):
    """Torch takes deterministic algorithms for all later code."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    return AdamW(_groups(model, base_lr, head_lr), maximize=True)


@hidden_mistake(refused_with="get_optimizer seeds torch")
def seeds_torch(model, base_lr, head_lr):
    """Torch is seeded, so that what is sampled later does not depend on the run's seed."""
    torch.manual_seed(0)
    return AdamW(_groups(model, base_lr, head_lr), maximize=True)


@hidden_mistake(refused_with="The gradient of the transformer in a backward pass after get_optimizer")
def gradients_turned(model, base_lr, head_lr):
    """Every gradient is turned around by a hook on the parameters."""
    optimizer = AdamW(_groups(model, base_lr, head_lr), maximize=True)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.register_hook(torch.neg)
    return optimizer


@hidden_mistake(refused_with="The change of the value head is right, but for a change that no step makes")
def head_started_anew(model, base_lr, head_lr):
    """The head's weights are set to zero."""
    for parameter in model.get_value_head_params():
        torch.nn.init.zeros_(parameter)
    return AdamW(_groups(model, base_lr, head_lr), maximize=True)


@hidden_mistake(refused_with="The change of the transformer with large weights is that of AdamW with another weight")
def decay_of_the_transformer_alone(model, base_lr, head_lr):
    """The transformer has a weight decay of its own."""
    groups = _groups(model, base_lr, head_lr)
    groups[0]["weight_decay"], groups[1]["weight_decay"] = 0.02, 0.0
    return AdamW(groups, maximize=True)


@hidden_mistake(refused_with="with a schedule is that of one learning rate throughout")
def rates_kept(model, base_lr, head_lr):
    """Before every step the rates are set to those of the beginning, whatever a schedule says."""
    optimizer = AdamW(_groups(model, base_lr, head_lr), maximize=True)
    first = [group["lr"] for group in optimizer.param_groups]

    def set_back(optimizer, args, kwargs):
        for group, rate in zip(optimizer.param_groups, first, strict=True):
            group["lr"] = rate

    optimizer.register_step_pre_hook(set_back)
    return optimizer


@hidden_mistake(refused_with="of another model is none")
def made_once(model, base_lr, head_lr, made={}):  # noqa: B006
    """The optimizer of the first model with these rates is returned for every later one."""
    return made.setdefault((base_lr, head_lr), AdamW(_groups(model, base_lr, head_lr), maximize=True))


@hidden_mistake(refused_with="with changing gradients")
def clipped_in_the_step(model, base_lr, head_lr):
    """Each step first clips the gradients, which is the trainer's task."""
    optimizer = AdamW(_groups(model, base_lr, head_lr), maximize=True)

    def clip(optimizer, args, kwargs):
        for group in optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)

    optimizer.register_step_pre_hook(clip)
    return optimizer


@hidden_mistake(refused_with="is that of AdamW's default learning rate")
def tiny_rates_ignored(model, base_lr, head_lr):
    """A rate below 0.0001 is taken for a mistake, and replaced by AdamW's default."""
    rates = [rate if rate > 1e-4 else 1e-3 for rate in (base_lr, head_lr)]
    return AdamW(_groups(model, *rates), maximize=True)


@hidden_mistake(refused_with="where one rate is zero")
def zero_is_the_default(model, base_lr, head_lr):
    """A learning rate of zero counts as none, and is replaced by a default."""
    return AdamW(_groups(model, base_lr or 2e-5, head_lr or 5e-4), maximize=True)


@hidden_mistake(refused_with="where several steps are taken on one gradient is not right")
def gradients_negated_in_the_step(model, base_lr, head_lr):
    """The optimizer minimises, and each step first turns the sign of the gradients themselves."""
    optimizer = AdamW(_groups(model, base_lr, head_lr))

    def negate(optimizer, args, kwargs):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.neg_()

    optimizer.register_step_pre_hook(negate)
    return optimizer


@right_answer
def no_weight_decay(model, base_lr, head_lr):
    groups = [
        {"params": model.get_base_model_trainable_params(), "lr": base_lr},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]
    return torch.optim.AdamW(groups, maximize=True, weight_decay=0.0)


@right_answer
def head_first(model, base_lr, head_lr):
    groups = [
        {"params": model.get_value_head_params(), "lr": head_lr},
        {"params": model.get_base_model_trainable_params(), "lr": base_lr},
    ]
    return torch.optim.AdamW(groups, maximize=True)


@right_answer
def default_rate_is_the_transformers(model, base_lr, head_lr):
    groups = [
        {"params": model.get_base_model_trainable_params()},
        {"params": model.get_value_head_params(), "lr": head_lr},
    ]
    return torch.optim.AdamW(groups, lr=base_lr, maximize=True)


@right_answer
def group_added(model, base_lr, head_lr):
    optimizer = torch.optim.AdamW(model.get_base_model_trainable_params(), lr=base_lr, maximize=True)
    optimizer.add_param_group({"params": model.get_value_head_params(), "lr": head_lr})
    return optimizer


@right_answer
def maximize_in_both_groups(model, base_lr, head_lr):
    groups = [
        {"params": iter(model.get_base_model_trainable_params()), "lr": base_lr, "maximize": True},
        {"params": model.value_head.parameters(), "lr": head_lr, "maximize": True},
    ]
    return torch.optim.AdamW(groups)


@right_answer
def one_kernel_at_a_time(model, base_lr, head_lr):
    base, head = model.get_base_model_trainable_params(), model.get_value_head_params()
    return torch.optim.AdamW(
        [{"params": base, "lr": base_lr}, {"params": head, "lr": head_lr}], maximize=True, foreach=False
    )


@right_answer
def adam_without_decay(model, base_lr, head_lr):
    return Adam(_groups(model, base_lr, head_lr), maximize=True)


@right_answer
def frozen_parameters_too(model, base_lr, head_lr):
    head = set(model.get_value_head_params())
    base = [parameter for parameter in model.parameters() if parameter not in head]
    return AdamW([{"params": base, "lr": base_lr}, {"params": list(head), "lr": head_lr}], maximize=True)


@right_answer
def parted_by_name(model, base_lr, head_lr):
    named = list(model.named_parameters())
    return AdamW(
        [
            {"params": [parameter for name, parameter in named if name.startswith("value_head")], "lr": head_lr},
            {"params": [parameter for name, parameter in named if name.startswith("base_model")], "lr": base_lr},
        ],
        maximize=True,
    )


def _announced(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        optimizer = function(*args, **kwargs)
        print("made", optimizer)
        return optimizer

    return wrapper


@right_answer
@_announced
def decorated(model, base_lr, head_lr):
    def group(parameters, rate):
        print(sum(parameter.numel() for parameter in parameters), "numbers at", rate)
        return {"params": parameters, "lr": rate}

    groups = [group(model.get_base_model_trainable_params(), base_lr), group(model.get_value_head_params(), head_lr)]
    return AdamW(groups, maximize=True)


@right_answer
def class_of_its_own(model, base_lr, head_lr):
    class Ascent(AdamW):
        def __init__(self, groups):
            super().__init__(groups, maximize=True)

    return Ascent(_groups(model, base_lr, head_lr))


class _WrittenOut(Optimizer):
    """AdamW without weight decay, by its formula."""

    def __init__(self, groups):
        super().__init__(groups, {"lr": 1e-3})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state.update(step=0, m=torch.zeros_like(parameter), v=torch.zeros_like(parameter))
                state["step"] += 1
                state["m"].lerp_(parameter.grad, 1 - 0.9)
                state["v"].mul_(0.999).addcmul_(parameter.grad, parameter.grad, value=1 - 0.999)
                m, v = state["m"] / (1 - 0.9 ** state["step"]), state["v"] / (1 - 0.999 ** state["step"])
                parameter.add_(group["lr"] * m / (v.sqrt() + 1e-8))


@right_answer
def written_out(model, base_lr, head_lr):
    return _WrittenOut(_groups(model, base_lr, head_lr))


@right_answer
def rates_as_tensors(model, base_lr, head_lr):
    return AdamW(_groups(model, torch.tensor(base_lr), torch.tensor(head_lr)), maximize=True, foreach=False)


@right_answer
def parameters_of_each_module(model, base_lr, head_lr):
    groups = [
        {"params": model.base_model.parameters(), "lr": base_lr},
        {"params": model.value_head.parameters(), "lr": head_lr},
    ]
    return AdamW(groups, maximize=True)
