"""Wrong and right answers to `kl_estimate`."""

import math

import torch

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _check(kind):
    if kind not in ("k1", "k2", "k3"):
        raise ValueError(f"no estimator {kind}")


def _of(ratio, kind):
    """An estimate from the log-ratio of the policy to the reference."""
    _check(kind)
    return {"k1": lambda: ratio + 0, "k2": lambda: ratio**2 / 2, "k3": lambda: (-ratio).exp() + ratio - 1}[kind]()


def _right(logprobs, ref_logprobs, kind):
    return _of(logprobs - ref_logprobs.detach(), kind)


# A penalty whose sign was turned: https://github.com/qiancheng0/ToolRL/issues/52
@visible_mistake
def k1_turned(logprobs, ref_logprobs, kind):
    """The sign of k1 is turned: it is the policy's log-probability minus the reference's."""
    result = _right(logprobs, ref_logprobs, kind)
    return -result if kind == "k1" else result


# Why k3 looks as it does, and which of the two is subtracted: https://github.com/huggingface/trl/issues/2854
@visible_mistake
def d_of_the_wrong_sign(logprobs, ref_logprobs, kind):
    """d has the wrong sign in k3: it is the reference's log-probability minus the policy's, as the policy sampled."""
    ratio = logprobs - ref_logprobs.detach()
    return _of(-ratio if kind == "k3" else ratio, kind)


@visible_mistake
def policy_and_reference_swapped(logprobs, ref_logprobs, kind):
    """Policy and reference are swapped in all estimates: the log-ratio is the policy's minus the reference's."""
    return _of(ref_logprobs.detach() - logprobs, kind)


@visible_mistake
def k2_without_the_half(logprobs, ref_logprobs, kind):
    """The half is missing in k2: it is half of the log-ratio's square."""
    result = _right(logprobs, ref_logprobs, kind)
    return 2 * result if kind == "k2" else result


@visible_mistake
def k3_without_the_one(logprobs, ref_logprobs, kind):
    """The 1 is missing in k3: it is exp(d) - d - 1, which is 0 where policy and reference agree."""
    result = _right(logprobs, ref_logprobs, kind)
    return result + 1 if kind == "k3" else result


@visible_mistake
def d_added(logprobs, ref_logprobs, kind):
    """You add d in k3; subtract it: exp(d) - d - 1 is never negative."""
    ratio = logprobs - ref_logprobs.detach()
    return (-ratio).exp() - 1 - ratio if kind == "k3" else _of(ratio, kind)


@visible_mistake
def k3_is_the_ratio_minus_one(logprobs, ref_logprobs, kind):
    """In k3 the term - d is missing: it is exp(d) - d - 1."""
    ratio = logprobs - ref_logprobs.detach()
    return (-ratio).exp() - 1 if kind == "k3" else _of(ratio, kind)


@visible_mistake
def k1_in_absolute_value(logprobs, ref_logprobs, kind):
    """You take the absolute value in k1; it may be negative at a token, and its mean is the KL only with its sign."""
    result = _right(logprobs, ref_logprobs, kind)
    return result.abs() if kind == "k1" else result


@visible_mistake
def k1_never_negative(logprobs, ref_logprobs, kind):
    """You replace a negative k1 by 0; at single tokens it is negative, and without that its mean is too large."""
    result = _right(logprobs, ref_logprobs, kind)
    return result.clamp(min=0) if kind == "k1" else result


@visible_mistake
def weighted_by_the_probability(logprobs, ref_logprobs, kind):
    """You weight with the policy's probability; the tokens were sampled from the policy, which weights them already."""
    return logprobs.exp() * _right(logprobs, ref_logprobs, kind)


@visible_mistake
def probabilities_subtracted(logprobs, ref_logprobs, kind):
    """You subtract probabilities; subtract log-probabilities."""
    return _of(logprobs.exp() - ref_logprobs.detach().exp(), kind)


@visible_mistake(refused_with="is in bits")
def in_bits(logprobs, ref_logprobs, kind):
    """The result is in bits (logarithms to base 2); it should be in nats."""
    return _right(logprobs, ref_logprobs, kind) / math.log(2)


# Log-ratios that are clamped, as users proposed: https://github.com/databricks/compose-rl/pull/44
@visible_mistake
def log_ratio_clamped(logprobs, ref_logprobs, kind):
    """You clamp the log-ratio: that hides large differences, and their gradient is 0 there."""
    return _of((logprobs - ref_logprobs.detach()).clamp(-40, 40), kind)


# Large values of k3, and the cap that some put on them: https://github.com/OpenRLHF/OpenRLHF/issues/525
@visible_mistake
def k3_capped(logprobs, ref_logprobs, kind):
    """You cap k3 at 10: an estimate that is too small where policy and reference differ most."""
    result = _right(logprobs, ref_logprobs, kind)
    return result.clamp(max=10) if kind == "k3" else result


@visible_mistake
def ratio_of_probabilities(logprobs, ref_logprobs, kind):
    """You divide probabilities, which round to 0 for unlikely tokens: take exp of the difference of the logarithms."""
    ratio = ref_logprobs.detach().exp() / logprobs.exp()
    return ratio - ratio.log() - 1 if kind == "k3" else _right(logprobs, ref_logprobs, kind)


@visible_mistake(refused_with="No gradient")
def no_gradient(logprobs, ref_logprobs, kind):
    """The values are right, but no gradient reaches the policy (detach or no_grad): as a loss it changes nothing."""
    return _right(logprobs.detach(), ref_logprobs, kind)


@visible_mistake(refused_with="reaches the reference")
def gradient_to_the_reference(logprobs, ref_logprobs, kind):
    """The numbers are right, but a gradient reaches the reference: detach its log-probabilities."""
    return _of(logprobs - ref_logprobs, kind)


@visible_mistake(refused_with="The gradient of the estimate k3")
def ratio_detached(logprobs, ref_logprobs, kind):
    """The values are right, but in k3 exp(d) is detached, so that the gradient is that of k1."""
    ratio = logprobs - ref_logprobs.detach()
    return (-ratio).exp().detach() + ratio - 1 if kind == "k3" else _of(ratio, kind)


# The value of one estimate with the gradient of another: https://github.com/OpenRLHF/OpenRLHF/pull/1101
@visible_mistake(refused_with="The gradient of the estimate k3")
def gradient_of_k2(logprobs, ref_logprobs, kind):
    """The values are right, but the gradient is that of k2 for each kind: each estimate keeps its own."""
    value, square = (_right(logprobs, ref_logprobs, each) for each in (kind, "k2"))
    return value.detach() + (square - square.detach())


# Gradients that samples from the policy need besides, and a caller adds: https://github.com/NVIDIA-NeMo/RL/pull/2506
@visible_mistake(refused_with="The gradient of the estimate k1")
def score_term_added(logprobs, ref_logprobs, kind):
    """The values are right, but the gradient also has the term of the sampling, value times d log p: leave it out."""
    value = _right(logprobs, ref_logprobs, kind)
    return value + value.detach() * (logprobs - logprobs.detach())


@visible_mistake(refused_with="The gradient of the estimate k2")
def one_factor_detached(logprobs, ref_logprobs, kind):
    """The values are right, but one factor of k2's square is detached, and only half of the gradient remains."""
    ratio = logprobs - ref_logprobs.detach()
    return ratio * ratio.detach() / 2 if kind == "k2" else _of(ratio, kind)


@visible_mistake(refused_with="should raise a ValueError; a result came")
def any_other_is_k3(logprobs, ref_logprobs, kind):
    """Every kind but k1 and k2 is taken for k3: raise a ValueError for a kind that there is not."""
    return _right(logprobs, ref_logprobs, kind if kind in ("k1", "k2") else "k3")


@visible_mistake(refused_with="should raise a ValueError; it raised KeyError")
def key_error(logprobs, ref_logprobs, kind):
    """Another kind raises a KeyError: raise a ValueError whose message holds the kind."""
    return _right(logprobs, ref_logprobs, {"k1": "k1", "k2": "k2", "k3": "k3"}[kind])


@visible_mistake(refused_with="should raise a ValueError; a result came")
def none_for_another_kind(logprobs, ref_logprobs, kind):
    """For another kind you return None: raise a ValueError whose message holds the kind."""
    return _right(logprobs, ref_logprobs, kind) if kind in ("k1", "k2", "k3") else None


@visible_mistake(refused_with="should raise a ValueError; a result came")
def capital_letters(logprobs, ref_logprobs, kind):
    """You accept capital letters: the kinds are "k1", "k2" and "k3", and all others are a ValueError."""
    return _right(logprobs, ref_logprobs, kind.lower())


@visible_mistake(refused_with="should have 2 dimensions; 0 came")
def averaged(logprobs, ref_logprobs, kind):
    """You average over tokens; each token has an estimate of its own."""
    return _right(logprobs, ref_logprobs, kind).mean()


@visible_mistake(refused_with="should have 2 dimensions; 1 came")
def summed_over_tokens(logprobs, ref_logprobs, kind):
    """You sum over the tokens of a text; each token has an estimate of its own."""
    return _right(logprobs, ref_logprobs, kind).sum(1)


@visible_mistake(refused_with="`ref_logprobs` was changed in place")
def reference_overwritten(logprobs, ref_logprobs, kind):
    """The numbers are right, but you write the difference into the caller's reference: make a new tensor."""
    result = _right(logprobs, ref_logprobs, kind)
    ref_logprobs.detach().sub_(logprobs.detach())
    return result


@hidden_mistake(refused_with="for texts of many tokens")
def first_64_tokens(logprobs, ref_logprobs, kind):
    """Tokens after the 64th count for nothing."""
    return _right(logprobs, ref_logprobs, kind) * (torch.arange(logprobs.shape[1]) < 64)


@hidden_mistake(refused_with="should have 2 dimensions; 1 came")
def squeezed(logprobs, ref_logprobs, kind):
    """A single text or token loses its dimension."""
    return _right(logprobs, ref_logprobs, kind).squeeze()


@hidden_mistake
def infinite_logarithm(logprobs, ref_logprobs, kind):
    """In k3 the logarithm of the ratio is taken, which is infinite where the ratio rounds to 0."""
    ratio = (ref_logprobs.detach() - logprobs).exp()
    return ratio - 1 - ratio.log() if kind == "k3" else _right(logprobs, ref_logprobs, kind)


@hidden_mistake(refused_with="is not finite")
def one_over_the_ratio(logprobs, ref_logprobs, kind):
    """In k3 the ratio of policy to reference overflows, and the gradient of 1 over it is NaN."""
    ratio = logprobs - ref_logprobs.detach()
    return 1 / ratio.exp() + ratio - 1 if kind == "k3" else _of(ratio, kind)


@hidden_mistake(refused_with="is not finite")
def all_three_are_computed(logprobs, ref_logprobs, kind):
    """All three are computed and one is chosen, so that an overflow in k3 makes the gradients of k1 and k2 NaN."""
    ratio = logprobs - ref_logprobs.detach()
    _check(kind)
    all_three = torch.stack([ratio, ratio**2 / 2, torch.expm1(-ratio) + ratio])
    return all_three[int(kind[1]) - 1]


@hidden_mistake
def ratio_at_most_100000(logprobs, ref_logprobs, kind):
    """exp(d) is at most 100,000."""
    ratio = logprobs - ref_logprobs.detach()
    return (-ratio).exp().clamp(max=1e5) + ratio - 1 if kind == "k3" else _of(ratio, kind)


@hidden_mistake
def k1_at_most_1000(logprobs, ref_logprobs, kind):
    """k1 is clamped at 1000 and -1000."""
    result = _right(logprobs, ref_logprobs, kind)
    return result.clamp(-1000, 1000) if kind == "k1" else result


@hidden_mistake
def k2_for_small_ratios(logprobs, ref_logprobs, kind):
    """Where the log-ratio is below 0.3, k3 is replaced by k2."""
    ratio = logprobs - ref_logprobs.detach()
    result = _of(ratio, kind)
    return torch.where(ratio.abs() < 0.3, ratio**2 / 2, result) if kind == "k3" else result


@hidden_mistake(refused_with="should raise a ValueError; a result came")
def only_the_last_character(logprobs, ref_logprobs, kind):
    """Only the last character of the kind is looked at."""
    return _right(logprobs, ref_logprobs, f"k{kind[-1:]}")


@hidden_mistake(refused_with="should raise a ValueError; a result came")
def only_the_first_characters(logprobs, ref_logprobs, kind):
    """What follows the second character of the kind is not looked at."""
    return _right(logprobs, ref_logprobs, kind[:2])


@hidden_mistake(refused_with="should raise a ValueError; a result came")
def blanks_around_the_kind(logprobs, ref_logprobs, kind):
    """Blanks around the kind are left out."""
    return _right(logprobs, ref_logprobs, kind.strip())


@hidden_mistake(refused_with="The gradient of the estimate k1")
def size_times_sign(logprobs, ref_logprobs, kind):
    """k1 is put together from size and sign, whose gradients are 0 where the policy is the reference."""
    ratio = logprobs - ref_logprobs.detach()
    return ratio.abs() * ratio.sign() if kind == "k1" else _of(ratio, kind)


@hidden_mistake(refused_with="No gradient")
def large_batches_detached(logprobs, ref_logprobs, kind):
    """From 64 tokens on, the estimates carry no gradient."""
    result = _right(logprobs, ref_logprobs, kind)
    return result if result.numel() < 64 else result.detach()


@hidden_mistake(refused_with="where the reference's log-probabilities require one")
def policy_detached_with_the_reference(logprobs, ref_logprobs, kind):
    """Where the reference requires a gradient, the estimates carry none at all."""
    result = _right(logprobs, ref_logprobs, kind)
    return result.detach() if ref_logprobs.requires_grad else result


@hidden_mistake(refused_with="reaches the reference")
def reference_in_k2(logprobs, ref_logprobs, kind):
    """The reference is detached for k1 and k3, and not for k2."""
    return _of(logprobs - (ref_logprobs if kind == "k2" else ref_logprobs.detach()), kind)


@hidden_mistake(refused_with="should have the dtype float64; float32 came")
def single_precision(logprobs, ref_logprobs, kind):
    """The result is float32, whatever the dtype of the inputs."""
    return _right(logprobs, ref_logprobs, kind).float()


@hidden_mistake(refused_with="changed whether `ref_logprobs` requires a gradient")
def reference_flag_changed(logprobs, ref_logprobs, kind):
    """The caller's reference no longer requires a gradient."""
    if ref_logprobs.is_leaf:
        ref_logprobs.requires_grad_(False)
    return _right(logprobs, ref_logprobs, kind)


_BUFFERS = {}


@hidden_mistake(refused_with="after a later call")
def shared_buffer(logprobs, ref_logprobs, kind):
    """Without gradients, the result is a tensor that the next call of the same shape overwrites."""
    result = _right(logprobs, ref_logprobs, kind)
    if result.requires_grad:
        return result
    return _BUFFERS.setdefault((*result.shape, result.dtype), torch.empty_like(result)).copy_(result)


_REFERENCES = {}


@hidden_mistake(refused_with="after a call with other values of the same sizes")
def first_reference_kept(logprobs, ref_logprobs, kind):
    """The reference of the first call of a shape is kept for all later ones."""
    key = (*ref_logprobs.shape, ref_logprobs.dtype)
    return _right(logprobs, _REFERENCES.setdefault(key, ref_logprobs.detach().clone()), kind)


@hidden_mistake(refused_with="switches gradients off")
def gradients_off_for_good(logprobs, ref_logprobs, kind):
    """Gradients are switched off for the reference, and not on again."""
    result = _right(logprobs, ref_logprobs, kind)
    torch.set_grad_enabled(False)
    return result


@hidden_mistake(refused_with="for texts of which one is the same in")
def agreement_is_nan(logprobs, ref_logprobs, kind):
    """Where policy and reference agree, k3 is divided by 0."""
    ratio = logprobs - ref_logprobs.detach()
    return _of(ratio, kind) * ratio / ratio if kind == "k3" else _of(ratio, kind)


@right_answer
def step_by_step(logprobs, ref_logprobs, kind):
    with torch.no_grad():
        reference = ref_logprobs + 0
    d = reference - logprobs
    if kind == "k1":
        return -d
    elif kind == "k2":
        return 0.5 * d * d
    elif kind == "k3":
        return torch.exp(d) - d - 1
    raise ValueError("kind: " + str(kind))


@right_answer
def matched(logprobs, ref_logprobs, kind):
    difference = torch.sub(logprobs, ref_logprobs.data)
    match kind:
        case "k1":
            return difference
        case "k2":
            return torch.pow(difference, 2).div(2)
        case "k3":
            return torch.expm1(-difference).add(difference)
        case other:
            raise ValueError(f"{other} is no kind of estimate")


@right_answer
def by_position(logprobs, ref_logprobs, kind):
    position = ["k1", "k2", "k3"].index(kind)
    ratio = logprobs - ref_logprobs.detach()
    functions = (torch.clone, lambda x: x.square().mul(0.5), lambda x: torch.exp(-x) - (1 - x))
    return functions[position](ratio)


@right_answer
def in_double_precision(logprobs, ref_logprobs, kind):
    class UnknownKind(ValueError):
        pass

    if kind not in {"k1", "k2", "k3"}:
        raise UnknownKind(kind)
    ratio = logprobs.double() - ref_logprobs.detach().double()
    result = ratio if kind == "k1" else ratio**2 / 2 if kind == "k2" else (-ratio).exp() + ratio - 1
    return result.to(logprobs.dtype)


@right_answer
def never_below_zero(logprobs, ref_logprobs, kind):
    d = ref_logprobs.detach() - logprobs
    if kind == "k3":
        return (d.exp() - d - 1).clamp(min=0)
    if kind in ("k1", "k2"):
        return -d if kind == "k1" else d.pow(2) * 0.5
    raise ValueError(kind)


@right_answer
def text_by_text(logprobs, ref_logprobs, kind):
    rows = []
    for own, other in zip(logprobs, ref_logprobs.detach(), strict=True):
        if kind == "k1":
            rows.append(own - other)
        elif kind == "k2":
            rows.append((own - other).square() / 2)
        elif kind == "k3":
            rows.append((other - own).exp() - (other - own) - 1)
        else:
            raise ValueError(f"unknown kind {kind!r}")
    return torch.stack(rows)
