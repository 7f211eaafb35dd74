"""Hidden tests of `kl_estimate`."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import (
    BEYOND_FLOAT32,
    DOUBLE,
    ORDINARY,
    Choice,
    Circumstance,
    Floats,
    Inputs,
)
from rlhf_course.grading.judge.compare import (
    DOUBLE_PRECISION,
    expect_form,
    expect_results_stay,
    expect_unchanged,
    expect_value_error,
    expect_values,
    gradient_at,
    is_right,
)
from rlhf_course.grading.judge.rollouts import drawn_minibatch

KINDS = ("k1", "k2", "k3")
WHY = {
    "k1": "it is the policy's log-probability minus the reference's",
    "k2": "it is half of the squared log-ratio",
    "k3": "it is exp(d) - d - 1, with d = the reference's log-probability minus the policy's",
}
OF_GRADIENT = {
    "k1": "it is 1 at each token",
    "k2": "it is the log-ratio at each token",
    "k3": "it is 1 - exp(d) at each token, and exp(d) is part of it",
}


def from_rollout(draw):
    """Draw the log-probabilities of the policy's own tokens under policy and reference."""
    batch = drawn_minibatch(draw)
    tokens = batch.tokens[:, -batch.gen_len :, None]
    found = [batch.generated(logits).log_softmax(-1).gather(-1, tokens) for logits in (batch.logits, batch.ref_logits)]
    return {"logprobs": found[0].squeeze(-1), "ref_logprobs": found[1].squeeze(-1)}


INPUTS = Inputs(
    sizes={"texts": (2, 6), "gen": (3, 9)},
    arguments={
        # Hardly a drawn number lies five deviations above the mean: all log-probabilities are below 0.
        "logprobs": Floats(("texts", "gen"), scale=0.8, mean=-4.0),
        "ref_logprobs": Floats(("texts", "gen"), scale=0.8, mean=-4.0),
        "kind": Choice(KINDS),
    },
    words={"texts": "one text", "gen": "one token"},
    rollout=from_rollout,
)
MANY = INPUTS.many()
LONG = Circumstance("for texts of many tokens", sizes={"texts": 3, "gen": 90})
FAR_APART = "for log-probabilities that are far apart"
# k3 is a small difference of larger numbers.
ROUNDED = {"rtol": 2e-4, "atol": 1e-5}


def estimate(logprobs, ref_logprobs, kind):
    """Return the estimates: k1 and k2 from the difference of the logarithms, k3 as r - 1 - log r of the ratio r."""
    difference = ref_logprobs - logprobs
    if kind == "k3":
        ratio = difference.exp()
        return ratio - 1 - difference
    return -difference if kind == "k1" else 0.5 * difference * difference


def derivative(logprobs, ref_logprobs, kind):
    """Return the derivative of each estimate with respect to the policy's log-probability."""
    difference = ref_logprobs - logprobs
    return {"k1": torch.ones_like, "k2": torch.neg, "k3": lambda numbers: 1 - numbers.exp()}[kind](difference)


def of_each_kind(calls):
    """Yield each call with each kind."""
    for call in calls:
        for kind in KINDS:
            yield call.with_arguments(kind=kind)


def expect_estimate(kl_estimate, call, got=None, **tolerance):
    """Require the right estimates of one call, and return them mended."""
    kind = call.exact["kind"]
    got = kl_estimate(*call.passed()) if got is None else got
    subject = call.subject(f"The estimate {kind}")
    # With both arguments swapped, k3 would overflow for log-probabilities that are far apart.
    formula = None if call.circumstance.phrase == FAR_APART else estimate
    return expect_values(got, call.right(estimate), subject, WHY[kind], call, formula, **(ROUNDED | tolerance))


def expect_gradient(kl_estimate, call, draw, **tolerance):
    """Require the right gradient of a weighted sum of the estimates at the policy's log-probabilities."""
    kind, passed = call.exact["kind"], call.passed()
    passed[0].requires_grad_(True)
    mended = expect_estimate(kl_estimate, call, kl_estimate(*passed), **tolerance)
    assert mended.requires_grad, f"No gradient of the estimate {kind} reaches the policy's log-probabilities"
    weights = 1 + draw.normal(*mended.shape).double().abs()
    subject = call.subject(f"The gradient of the estimate {kind}")
    gradient = gradient_at(passed[0], (mended * weights).sum(), subject)
    wanted = weights * call.right(derivative)
    expect_values(gradient, wanted, subject, OF_GRADIENT[kind], call, **({"rtol": 1e-3, "atol": 1e-4} | tolerance))


@pytest.mark.points(1.5)
def test_the_estimates_are_those_of_each_token(kl_estimate, draw):
    for call in of_each_kind(INPUTS.calls(draw, [*INPUTS.size_circumstances(), ORDINARY, MANY, LONG])):
        expect_estimate(kl_estimate, call)


@pytest.mark.points(1.5)
def test_each_estimate_has_its_own_gradient_at_the_policys_log_probabilities(kl_estimate, draw):
    large = Circumstance("for a large batch", sizes={"texts": 12, "gen": 20})
    calls = of_each_kind(INPUTS.calls(draw, [*INPUTS.size_circumstances(), ORDINARY, large], again=0))
    for number, call in enumerate(calls, 1):
        expect_gradient(kl_estimate, call, draw.numbered(-number))
    # At the first step of a training the policy is the reference.
    first = INPUTS.call(draw.numbered(0))
    first = first.with_arguments("for a policy that is the reference", logprobs=first.exact["ref_logprobs"].float())
    further = INPUTS.calls(draw, INPUTS.further_gradient_circumstances(), again=0)
    for number, call in enumerate(of_each_kind([first, *further]), 1001):
        if is_right(kl_estimate, call, [estimate], **ROUNDED):
            expect_gradient(kl_estimate, call, draw.numbered(-number))


def _has_gradient(kl_estimate, call):
    """Return whether the estimates carry a gradient where the policy's log-probabilities alone require one."""
    passed = replace(call, circumstance=ORDINARY).passed()
    passed[0].requires_grad_(True)
    return expect_estimate(kl_estimate, call, kl_estimate(*passed)).requires_grad


@pytest.mark.points(0.5)
def test_no_gradient_reaches_the_reference(kl_estimate, draw):
    circumstances = [replace(ORDINARY, requires_grad=True), replace(ORDINARY, requires_grad=True, graph=True)]
    for call in of_each_kind(INPUTS.calls(draw, circumstances, again=0)):
        kind, passed = call.exact["kind"], call.passed()
        mended = expect_estimate(kl_estimate, call, kl_estimate(*passed))
        if not mended.requires_grad:
            assert not _has_gradient(kl_estimate, call), (
                f"No gradient of the estimate {kind} reaches the policy where the reference's log-probabilities "
                "require one, too"
            )
            continue
        if not passed[1].requires_grad:  # Another test requires that it does.
            continue
        (gradient,) = torch.autograd.grad(mended.sum(), passed[1], allow_unused=True)
        assert gradient is None or not bool(gradient.any()), (
            f"A gradient of the estimate {kind} reaches the reference's log-probabilities: the reference is a constant"
        )


def far_apart(draw, kind):
    """Draw a call whose log-probabilities differ by as much as float32 allows for an estimate."""
    call = INPUTS.call(draw, Circumstance(sizes={"texts": 4, "gen": 6}))
    shape = call.exact["logprobs"].shape
    quarters = draw.integers(0, 16, *shape).float() / 4
    distances = torch.tensor([0.0, 15.0, 60.0, 80.0, -15.0, -60.0, -120.0, -3000.0])
    if kind != "k3":  # exp(d) would overflow, and so would k3 itself.
        distances = torch.cat([distances, torch.tensor([150.0, 3000.0])])
    chosen = distances[draw.integers(0, len(distances) - 1, *shape)]
    chosen[0, :3] = distances[[2, 7, -1]]  # Some of each sign.
    levels = torch.tensor([0.0, 30.0, 200.0])[draw.integers(0, 2, *shape)]
    logprobs = -4 - levels - chosen.clamp(min=0)
    reference = logprobs + chosen + quarters * chosen.sign()
    return call.with_arguments(FAR_APART, logprobs=logprobs, ref_logprobs=reference, kind=kind)


@pytest.mark.points(1)
def test_log_ratios_of_any_size_give_finite_numbers_and_gradients(kl_estimate, draw):
    for number, kind in enumerate(draw.shuffled([*KINDS, *KINDS])):
        call = far_apart(draw.numbered(number), kind)
        expect_estimate(kl_estimate, call)
        passed = call.passed()
        passed[0].requires_grad_(True)
        if getattr(kl_estimate(*passed), "requires_grad", False):  # Another test requires that it does.
            expect_gradient(kl_estimate, call, draw.numbered(-1 - number))


@pytest.mark.points(0.5)
def test_another_kind_is_a_value_error(kl_estimate, draw):
    for call in of_each_kind([INPUTS.call(draw.numbered(0))]):
        expect_estimate(kl_estimate, call)
    digit = draw.integer(1, 3)
    others = ["k0", "k4", f"K{digit}", f"k{digit} ", f"kl{digit}", f"k{digit}{digit}", f"{digit}", "k", "kl", "abs", ""]
    for kind in draw.shuffled(others):
        logprobs, reference, _ = INPUTS.call(draw).passed()
        expect_value_error(kl_estimate, [logprobs, reference, kind], "Another kind than k1, k2 and k3")


@pytest.mark.points(0.5)
def test_every_circumstance_that_training_meets_gives_the_same_estimates(kl_estimate, draw):
    for call in of_each_kind(INPUTS.calls(draw, INPUTS.other_circumstances())):
        expect_estimate(kl_estimate, call)
    calls = [call.with_arguments(kind="k3") for call in INPUTS.calls(draw, [ORDINARY])]
    expect_results_stay(kl_estimate, calls, estimate, "The estimate k3", **ROUNDED)


@pytest.mark.points(0.5)
def test_the_result_has_the_form_and_dtype_of_the_log_probabilities_and_they_stay_as_they_were(kl_estimate, draw):
    for call in of_each_kind([INPUTS.call(draw.numbered(0))]):
        expect_estimate(kl_estimate, call)
    for call in of_each_kind(INPUTS.calls(draw, INPUTS.all_circumstances())):
        passed = call.passed()
        got = kl_estimate(*passed)
        subject = call.subject(f"The estimate {call.exact['kind']}")
        expect_form(got, call.right(estimate), subject, call.circumstance.dtype)
        expect_unchanged(call, passed)
    for call in of_each_kind([INPUTS.call(draw.numbered(-1), replace(BEYOND_FLOAT32, level=-(2.0**26)))]):
        expect_estimate(kl_estimate, call)
    for call in of_each_kind([INPUTS.call(draw.numbered(-2), DOUBLE)]):
        expect_estimate(kl_estimate, call, **DOUBLE_PRECISION)
