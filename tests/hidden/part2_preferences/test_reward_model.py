"""Hidden tests of `RewardModel`, on a GPT-2 of two layers whose weights are drawn.

The judge recomputes rewards and gradients in double precision from these weights, text by text and without padding. A
wrong reward head costs the first test: where it is wrong, the other tests put a right one in its place.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial

import pytest
import torch

from rlhf_course.checks.tiny import VOCABULARY
from rlhf_course.grading.judge.circumstances import (
    END_TOKENS,
    MASK_CIRCUMSTANCES,
    ORDINARY,
    Circumstance,
    Inputs,
    Mask,
    Tokens,
)
from rlhf_course.grading.judge.compare import expect_form, expect_gradients_off, expect_torch_as_it_was, expect_values
from rlhf_course.grading.judge.gpt2 import Shape, drawn_weights, run
from rlhf_course.grading.sandbox.answers import AnswerError

SHAPE = Shape(vocab=len(VOCABULARY), positions=32, width=24, layers=2, heads=3)
HEAD = "a Linear from d_model to 1 with a bias"
WHY = "it is the head's output for the normalised residual stream of the text's last real token"
INPUTS = Inputs(
    sizes={"texts": (2, 6), "seq": (3, 10), "vocab": (SHAPE.vocab, SHAPE.vocab)},
    arguments={"input_ids": Tokens(("texts", "seq")), "attention_mask": Mask(("texts", "seq"), "attention")},
    words={"texts": "one text", "seq": "texts of one token"},
)
MIXED = Circumstance("for many texts", sizes={"texts": 32, "seq": 9})
LEFT_BEHIND = ("a hook", "a training mode", "a weight that does not require a gradient", "a changed weight")
RIGHT, LEFT, UNPADDED = MASK_CIRCUMSTANCES
ROLLOUT = Circumstance("for texts of a rollout's size", sizes={"texts": 16, "seq": 32})


@dataclass
class Model:
    """The weights of a transformer by name, and weight and bias of its reward head.

    Attributes:
        key: Identifies the weights.
    """

    key: str
    transformer: dict
    weights: list

    @classmethod
    def drawn(cls, draw):
        """Draw the weights."""
        head = [0.5 * draw.normal(1, SHAPE.width), draw.normal(1)]
        return cls(draw.key, drawn_weights(draw, SHAPE), head)

    def inputs(self):
        """Return the arguments of a driver that are the weights."""
        return {"transformer": self.transformer, "weights": self.weights}

    @cached_property
    def exact(self):
        """The transformer's weights in double precision."""
        return {name: weight.double() for name, weight in self.transformer.items()}

    def rewards(self, input_ids, attention_mask, exact=None, head=None):
        """Return the reward of each text, which is run by itself."""
        weight, bias = head or [each.double() for each in self.weights]
        last = []
        for ids, mask in zip(input_ids, attention_mask, strict=True):
            last.append(run(exact or self.exact, SHAPE.heads, ids[mask][None]).resid[0, -1])
        return torch.stack(last) @ weight[0] + bias


_REWARDS = {}


def right_rewards(model, call):
    """Return the right rewards of a call, which all answers meet, computed once."""
    batch = call.exact["input_ids"], call.exact["attention_mask"]
    # The shape is part of the key: one text of three tokens and three texts of one have the same bytes.
    key = (model.key, batch[0].shape, *(tensor.numpy().tobytes() for tensor in batch))
    if key not in _REWARDS:
        _REWARDS[key] = model.rewards(*batch)
    return _REWARDS[key]


def require_report(report):
    """Require that the answer has the right base class and, where it matters, a head of the right sizes."""
    assert "base class" not in report, (
        "RewardModel should be a subclass of rlhf_course.BridgeModel, which loads the transformer"
    )
    assert "head" not in report, f"The reward head should be {HEAD}; its parameters have other shapes"
    return report


def expect_head(answer, draw):
    """Require that new heads are linear layers, with weights of the right deviation and biases that are 0."""
    for width, count in draw.shuffled([(3, 600), (draw.integer(20, 40), 80)]):
        report = require_report(answer.heads(width=width, count=count))
        assert report["kinds"] == ["Linear"], f"The reward head should be {HEAD}; another kind of object came"
        shapes = [[list(each.shape) for each in head] for head in report["parameters"]]
        is_right = shapes == [[[1, width], [1]]] * count
        assert is_right, f"The reward head should be {HEAD}; its parameters have other shapes"
        weights = torch.cat([head[0].double() for head in report["parameters"]])
        biases = torch.cat([head[1].double() for head in report["parameters"]])
        assert not bool(biases.any()), "The bias of a new reward head should be 0"
        ratio = float(weights.std()) * (width + 1) ** 0.5
        assert 0.9 < ratio < 1.1 and abs(float(weights.mean())) < 0.1 * (width + 1) ** -0.5, (
            "The weights of a new reward head should have mean 0 and standard deviation 1 / sqrt(d_model + 1)"
        )
        expect_torch_as_it_was(report, "make_reward_head")
        # The deviation between heads, position by position: weights that are the same in each head have none.
        between = float(weights.var(0).mean().sqrt()) * (width + 1) ** 0.5
        is_repeated = width > 3 and len({head[0].detach().numpy().tobytes() for head in report["parameters"]}) < count
        assert between > 0.8 and not is_repeated, (
            "The weights of each new reward head should be drawn anew: heads are too much alike"
        )


def with_the_head_or_a_right_one(answer, draw, test):
    """Run `test(own_head=True)`; if it fails and the answer's head is wrong, run it with a right head."""
    try:
        test(own_head=True)
    except (AssertionError, AnswerError):
        try:
            expect_head(answer, draw.numbered(1000))
        except (AssertionError, AnswerError):
            test(own_head=False)
        else:
            raise


def expect_rewards(answer, draw, calls, **options):
    """Require the right rewards of several batches, computed with one model, and return them."""
    model, made = Model.drawn(draw.numbered(100)), list(calls)
    found = []

    def test(own_head):
        batches = [call.passed() for call in made]
        report = require_report(answer.rewards(**model.inputs(), batches=batches, own_head=own_head, **options))
        assert len(report["rewards"]) == len(made), "Some batches got no rewards"
        for call, got in zip(made, report["rewards"], strict=True):
            expect_values(got, right_rewards(model, call), call.subject("The reward"), WHY, call, rtol=1e-3, atol=1e-3)
        found.append((report, [right_rewards(model, call) for call in made]))

    with_the_head_or_a_right_one(answer, draw, test)
    return found[-1]


@pytest.mark.points(2.5)
def test_a_new_head_is_a_linear_layer_with_weights_of_the_right_deviation(RewardModel, draw):
    expect_head(RewardModel, draw)


@pytest.mark.points(2)
def test_texts_without_padding_get_the_reward_of_their_last_token(RewardModel, draw):
    unpadded = [
        Circumstance(each.phrase, sizes=each.sizes, padding="none") for each in [*INPUTS.size_circumstances(), ROLLOUT]
    ]
    report, _ = expect_rewards(RewardModel, draw, INPUTS.calls(draw, unpadded, again=0), training=False)
    assert not report["value head"], "A reward model should have no value head"


@pytest.mark.points(2.5)
def test_padding_on_either_side_changes_no_reward(RewardModel, draw):
    # The first batch has texts of all kinds, from which a message can tell what the wrong ones have in common.
    calls = INPUTS.calls(draw, [RIGHT, LEFT, UNPADDED, ORDINARY, ORDINARY], each=2)
    expect_rewards(RewardModel, draw, [INPUTS.call(draw.numbered(-1), MIXED), *calls])


@pytest.mark.points(1.5)
def test_only_the_mask_says_what_is_real(RewardModel, draw):
    """The padding token is the end-of-text token, whose id is the vocabulary's last or first one."""
    calls = []
    for number, call in enumerate(INPUTS.calls(draw, [replace(END_TOKENS, padding="right")], each=2), 1):
        own = draw.numbered(-number)
        ids, mask = call.exact["input_ids"], call.exact["attention_mask"]
        end = own.choice((0, SHAPE.vocab - 1))
        ids = torch.where(ids == SHAPE.vocab - 1, end, ids)
        inside = torch.where(own.integers(0, 3, *ids.shape) == 0, end, ids)
        calls += [call.with_arguments(input_ids=ids), call.with_arguments(input_ids=inside), call]
        first = mask.int().argmax(1)
        begun = ids.clone()
        begun[torch.arange(len(ids)), first] = end
        calls.append(call.with_arguments(input_ids=begun))
    expect_rewards(RewardModel, draw, calls)


@pytest.mark.points(1)
def test_a_row_without_a_real_token_is_a_value_error_that_names_it(RewardModel, draw):
    for number in range(2):
        own = draw.numbered(number)
        model = Model.drawn(own)
        call = INPUTS.call(own, Circumstance(sizes={"texts": 12}, padding="none"))
        expect_rewards(RewardModel, own, [call])
        row = own.integer(5, 11)
        mask = call.exact["attention_mask"].clone()
        mask[row] = False
        batch = {"input_ids": call.exact["input_ids"], "attention_mask": mask}
        report = require_report(RewardModel.refusal(**model.inputs(), **batch))
        subject = "A batch of which a row has no real token"
        assert "exceptions" in report, f"{subject} should raise a ValueError; a result came"
        assert "ValueError" in report["exceptions"], f"{subject} should raise a ValueError; it raised another exception"
        assert row in report["numbers"], f"{subject} should raise a ValueError whose message holds the index of the row"
        # The message may also hold the row's number from 1, sizes, and a number of tokens, which is 0.
        allowed = {row, row + 1, *mask.shape, SHAPE.width, 0, 1}
        others = {number for number in report["numbers"] if number < len(mask)} - allowed
        assert len(others) < 2, f"{subject} should raise a ValueError whose message holds the index of that row alone"


def right_gradients(model, input_ids, attention_mask, of_rewards):
    """Return the rewards, and the gradients of the transformer by name and of the head in order."""
    leaves = {name: weight.clone().requires_grad_(True) for name, weight in model.exact.items()}
    head = [weight.double().requires_grad_(True) for weight in model.weights]
    rewards = model.rewards(input_ids, attention_mask, leaves, head)
    total = (rewards * of_rewards).sum()
    found = torch.autograd.grad(total, [*leaves.values(), *head], materialize_grads=True)
    return rewards.detach(), dict(zip(leaves, found, strict=False)), list(found[len(leaves) :])


def expect_gradients(answer, model, call, inputs, right, own_head):
    """Require the right rewards and gradients of one batch; a parameter that no reward depends on may have none."""
    wanted, of_transformer, of_head = right
    report = require_report(answer.gradients(**model.inputs(), **inputs, own_head=own_head))
    expect_values(report["rewards"], wanted, call.subject("The reward"), WHY, call, rtol=1e-3, atol=1e-3)
    assert "transformer" in report, "The rewards should be a tensor; another object came"
    used = [name for name in of_transformer if bool(of_transformer[name].any())]
    pairs = [(report["transformer"][name], of_transformer[name]) for name in used]
    pairs += zip(report["head gradients"], of_head, strict=True)
    assert all(got is not None for got, _ in pairs), (
        "No gradient of the rewards reaches some parameters that they depend on"
    )
    for got, right_gradient in pairs:
        unit = float(right_gradient.abs().max()) + 1e-3
        subject = call.subject("The gradient at a parameter")
        expect_values(got / unit, right_gradient / unit, subject, rtol=1e-3, atol=2e-3)


@pytest.mark.points(2.5)
def test_gradients_of_the_rewards_reach_the_head_and_the_transformer(RewardModel, draw):
    several = replace(RIGHT, sizes={"texts": 12, "seq": 6})
    for number, circumstance in enumerate(draw.shuffled([several, LEFT, UNPADDED])):
        own = draw.numbered(number)
        model, call = Model.drawn(own), INPUTS.call(own, circumstance)
        inputs = {**call.exact, "of_rewards": own.normal(len(call.exact["input_ids"]))}
        right = right_gradients(model, **inputs)
        inputs["training"] = circumstance is not UNPADDED
        test = partial(expect_gradients, RewardModel, model, call, inputs, right)
        with_the_head_or_a_right_one(RewardModel, draw, test)


def expect_rewards_after_a_step(answer, draw):
    """Require the right rewards of texts that the same model has rated before, with other weights."""
    first, second = Model.drawn(draw.numbered(100)), Model.drawn(draw.numbered(101))
    call = INPUTS.call(draw, replace(RIGHT, sizes={"texts": 5, "seq": 6}))

    def test(own_head):
        inputs = {**first.inputs(), "later_transformer": second.transformer, "later_weights": second.weights}
        report = require_report(answer.rewards(**inputs, batches=[call.passed()], own_head=own_head))
        why = "the weights were changed between two calls, as a training step does: keep nothing from an earlier call"
        for model, got, words in zip((first, second), report["rewards"], ("", " after other weights"), strict=True):
            wanted = right_rewards(model, call)
            expect_values(got, wanted, f"The reward{words}", why if words else WHY, call, rtol=1e-3, atol=1e-3)

    with_the_head_or_a_right_one(answer, draw, test)


@pytest.mark.points(1)
def test_every_call_gives_the_rewards_of_its_own_texts(RewardModel, draw):
    expect_rewards_after_a_step(RewardModel, draw.numbered(-1))
    found = [INPUTS.many(), INPUTS.repeated(), INPUTS.partly_repeated(), ROLLOUT, ORDINARY, ORDINARY]
    calls = INPUTS.calls(draw, [replace(circumstance, padding="right") for circumstance in found])
    report, _ = expect_rewards(RewardModel, draw, calls)
    left = [words for words in LEFT_BEHIND if words in report["left"]]
    assert not left, f"The calls leave {left[0]} in the model: leave the model as it was"
    expect_torch_as_it_was(report, "A call of the model")
    assert report["hooks"], "A call takes hooks off the transformer that were there before: leave the model as it was"
    expect_gradients_off(report)


@pytest.mark.points(1)
def test_the_rewards_are_one_number_a_text_in_the_models_dtype_and_the_inputs_stay_as_they_were(RewardModel, draw):
    for number, dtype in enumerate(("float32", "float64")):
        own = draw.numbered(number)
        found = [replace(circumstance, padding="right") for circumstance in INPUTS.size_circumstances()]
        calls = list(INPUTS.calls(own, found))
        report, wanted = expect_rewards(RewardModel, own, calls, dtype=dtype)
        words = "in double precision" if dtype == "float64" else ""
        for got, right in zip(report["rewards"], wanted, strict=True):
            expect_form(got, right, f"The reward {words}".strip(), getattr(torch, dtype))
        assert not report["changed"], "The token ids or the mask were changed in place: make new tensors"
