"""Self-check of `kl_estimate`."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rlhf_course.checks.circumstances import in_float64, sliced, variations, with_equal_rows
from rlhf_course.checks.core import (
    Answer,
    Case,
    Check,
    Observation,
    format_linear,
    normal,
    observe_call,
    refused,
    round_to_quarters,
)

HINTS = (
    "A positive log-ratio means that the policy finds the token likelier than the reference does. Its mean over tokens "
    "that the policy samples is the KL divergence. The other two estimates are functions of the same number.",
    "Both tensors have shape [batch, gen], and so has the result: each token has its own estimate, and nothing is "
    "summed or averaged. The reference is a constant: detach it.",
    "Subtract the detached `ref_logprobs` from `logprobs`. For k1 that is all, k2 is half of its square. For k3 turn "
    "the sign to get d, and take the exponential of d minus d minus 1. Work with the difference of the logarithms: the "
    "exponential of a single log-probability rounds to 0. For every other kind raise a ValueError that names it.",
)

KINDS = ("k1", "k2", "k3")


def _inputs(seed: int, texts: int, gen: int) -> dict[str, Tensor]:
    reference = normal(texts, gen, seed=seed, scale=0.8) - 4
    return {"logprobs": reference + 0.7 * normal(texts, gen, seed=seed + 1), "ref_logprobs": reference}


def _case(words: str, inputs: Mapping[str, Tensor], kind: str) -> Case:
    return Case(f'{words}, kind = "{kind}"', {**inputs, "kind": kind})


_TOKENS = {
    "logprobs": torch.tensor([[0.5, 0.25, 0.5, 0.75, 0.1]]).log(),
    "ref_logprobs": torch.tensor([[0.25, 0.5, 0.5, 0.25, 0.4]]).log(),
}
_EXAMPLE = "five tokens with the probabilities 0.5, 0.25, 0.5, 0.75, 0.1 (policy) and 0.25, 0.5, 0.5, 0.25, 0.4"
_BATCH = _inputs(331, 3, 4)
_FAR = {
    "logprobs": round_to_quarters(normal(2, 3, seed=341)) - torch.tensor([[4.0, 900.0, 140.0], [80.0, 2000.0, 300.0]]),
    "ref_logprobs": round_to_quarters(normal(2, 3, seed=343))
    - torch.tensor([[700.0, 850.0, 70.0], [5.0, 3000.0, 250.0]]),
}
# Here d is so large that its exponential is infinite in float32; k1 and k2 are not.
_FARTHER = {"logprobs": torch.tensor([[-900.0, -3.0]]), "ref_logprobs": torch.tensor([[-2.0, -1.0]])}
CASES = {f"example {kind}": _case(_EXAMPLE, _TOKENS, kind) for kind in KINDS}
CASES |= {f"batch {kind}": _case("logprobs and ref_logprobs of shape [3, 4]", _BATCH, kind) for kind in KINDS}
CASES |= {
    "one token": _case("one token", _inputs(335, 1, 1), "k3"),
    "far apart": _case("log-probabilities from 0 to -3000 that differ by up to 1000, of shape [2, 3]", _FAR, "k3"),
    "unlikely token k1": _case("logprobs = [[-900, -3]], ref_logprobs = [[-2, -1]]", _FARTHER, "k1"),
    "unlikely token k2": _case("logprobs = [[-900, -3]], ref_logprobs = [[-2, -1]]", _FARTHER, "k2"),
    "another kind": refused(
        _case("logprobs and ref_logprobs of shape [3, 4]", _BATCH, "k4"), "the kinds are k1, k2 and k3"
    ),
    "capital letter": refused(
        _case("logprobs and ref_logprobs of shape [3, 4]", _BATCH, "K1"),
        "the kinds are k1, k2 and k3, in small letters",
    ),
    "slices": sliced(_case("logprobs and ref_logprobs of shape [3, 4]", _BATCH, "k3")),
    "float64": in_float64(_case("logprobs and ref_logprobs of shape [3, 4]", _BATCH, "k2")),
    "other values": _case("other logprobs and ref_logprobs of shape [3, 4]", _inputs(337, 3, 4), "k1"),
    "equal rows": with_equal_rows(_case("logprobs and ref_logprobs of shape [3, 4]", _BATCH, "k3")),
}


def _observe(kl_estimate: Answer, inputs: Mapping[str, Any]) -> Observation:
    """Observe a call, and with a second call whether a gradient reaches the reference."""
    observation = observe_call(kl_estimate, inputs, gradient_of="logprobs")
    logprobs, reference = (inputs[name].clone().requires_grad_(True) for name in ("logprobs", "ref_logprobs"))
    result = kl_estimate(logprobs, reference, inputs["kind"])
    found = None
    if getattr(result, "requires_grad", False):
        (found,) = torch.autograd.grad(result.sum(), reference, allow_unused=True)
    return {**observation, "a gradient reaches the reference": found is not None and bool(found.any())}


_RIGHT = {"k1": {"d": -1.0}, "k2": {"d^2": 0.5}, "k3": {"exp(d)": 1.0, "d": -1.0, "1": -1.0}}


def _explain(kl_estimate: Answer, case: Case) -> str:
    """Return the formula in d that an answer computes for the kind of a case, if it is a wrong one; else nothing."""
    kind = case.inputs["kind"]
    if kind not in KINDS:
        return ""
    formulas = [_fitted_formula(kl_estimate, kind, reference) for reference in (-3.0, -5.0)]
    if formulas[0] is None or formulas[0] != formulas[1] or formulas[0] == _RIGHT[kind]:
        return ""
    return (
        f"with d = ref_logprobs - logprobs your {kind} is {format_linear(formulas[0])}, and should be "
        f"{format_linear(_RIGHT[kind])}"
    )


def _fitted_formula(kl_estimate: Answer, kind: str, reference: float) -> dict[str, float] | None:
    """Return the coefficients, which are multiples of 1/2, of the terms that an answer adds up; None if none fit."""
    d = torch.linspace(-1.5, 1.6, 16, dtype=torch.float64)
    ref_logprobs = torch.full_like(d, reference)
    result = kl_estimate((ref_logprobs - d)[None], ref_logprobs[None], kind)[0]
    terms = {
        "exp(d)": d.exp(),
        "exp(-d)": (-d).exp(),
        "d exp(d)": d * d.exp(),
        "d exp(-d)": d * (-d).exp(),
        "d^2": d**2,
        "d": d,
        "1": torch.ones_like(d),
    }
    table = torch.stack(list(terms.values()), dim=1)
    halves = torch.linalg.lstsq(table, result.detach()[:, None]).solution[:, 0].mul(2).round() / 2
    if not torch.allclose(table @ halves, result.detach(), rtol=1e-4, atol=1e-5):
        return None
    return {term: float(half) for term, half in zip(terms, halves, strict=True) if half}


_VARIATIONS = variations(CASES["batch k3"], ref_logprobs=normal(3, 4, seed=339) - 4, kind="k1")
CHECK = Check(
    "kl_estimate",
    CASES,
    _observe,
    variations=_VARIATIONS,
    explain=_explain,
)


def test_k1_of_five_tokens_is_the_log_ratio(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "example k1")


def test_k2_of_five_tokens_is_half_of_its_square(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "example k2")


def test_k3_of_five_tokens_is_never_negative(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "example k3")


def test_k1_and_its_gradient_are_those_of_each_token(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "batch k1")


def test_k2_and_its_gradient_are_those_of_each_token(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "batch k2")


def test_k3_and_its_gradient_are_those_of_each_token(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "batch k3")


def test_one_token_keeps_both_dimensions(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "one token")


def test_log_probabilities_that_are_far_apart_give_finite_numbers(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "far apart")


def test_k1_of_an_unlikely_token_is_finite(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "unlikely token k1")


def test_k2_of_an_unlikely_token_is_finite(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "unlikely token k2")


def test_another_kind_is_a_value_error(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "another kind")


def test_a_kind_in_capital_letters_is_another_kind(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "capital letter")


def test_slices_of_larger_tensors_give_the_same(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "slices")


def test_float64_gives_float64(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "float64")


def test_a_call_with_other_values_of_the_same_sizes_starts_afresh(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "other values")


def test_equal_rows_each_count(kl_estimate: Answer) -> None:
    CHECK.require(kl_estimate, "equal rows")
