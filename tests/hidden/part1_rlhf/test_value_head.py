"""Hidden tests of `HookedTransformerWithValueHead`, on a GPT-2 of two layers whose weights are drawn.

The judge recomputes logits, values and gradients in double precision from these weights. A wrong value head costs the
first test: where it is wrong, the other tests put a right one in its place.
"""

from dataclasses import dataclass, field
from functools import cached_property, partial

import pytest
import torch
from torch.nn import functional

from rlhf_course.checks.tiny import VOCABULARY
from rlhf_course.grading.judge.circumstances import Circumstance, Inputs, Tokens
from rlhf_course.grading.judge.compare import (
    expect_form,
    expect_gradients_off,
    expect_torch_as_it_was,
    expect_values,
    mend,
)
from rlhf_course.grading.judge.gpt2 import Shape, drawn_head, drawn_weights, head_values, run
from rlhf_course.grading.sandbox.answers import AnswerError
from rlhf_course.grading.sandbox.serialization import known_class_name

SHAPE = Shape(vocab=len(VOCABULARY), positions=32, width=24, layers=2, heads=3)
CALL, FAILING_CALL, HALVE = "forward_with_value_head", "failing forward_with_value_head", "halve the weights"
WITHOUT_GRADIENTS, BESIDE_HOOKS = f"{CALL} without gradients", f"{CALL} beside hooks"
HEAD = "the head is a Linear from d_model to 4 * d_model, a ReLU, and a Linear from there to 1, both with biases"
VALUES = "a value is the head's output for the residual stream after the last normalisation, at each position"
LOGITS = "they are the transformer's, unchanged by the head"
ROLLOUT = Circumstance("for texts of a rollout's size", sizes={"texts": 24, "seq": 32})
INPUTS = Inputs(
    sizes={"texts": (2, 6), "seq": (2, 9), "vocab": (SHAPE.vocab, SHAPE.vocab)},
    arguments={"input_ids": Tokens(("texts", "seq"))},
    words={"texts": "one text", "seq": "texts of one token"},
)
SIZES = [*INPUTS.size_circumstances(), Circumstance("for one text of one token", sizes={"texts": 1, "seq": 1}), ROLLOUT]
ACTIVATIONS = {
    "without an activation between the layers": lambda x: x,
    "with a tanh in place of the ReLU": torch.tanh,
    "with a sigmoid in place of the ReLU": torch.sigmoid,
    "with a GELU in place of the ReLU": functional.gelu,
    "with the tanh form of GELU in place of the ReLU": lambda x: functional.gelu(x, approximate="tanh"),
    "with a SiLU in place of the ReLU": functional.silu,
    "with a LeakyReLU in place of the ReLU": functional.leaky_relu,
    "with an ELU in place of the ReLU": functional.elu,
    "with a ReLU6 in place of the ReLU": functional.relu6,
    "with a softplus in place of the ReLU": functional.softplus,
}


@dataclass
class Model:
    """The weights of a transformer and its value head, by name and in order, and what they gave, by token ids."""

    transformer: dict
    weights: list
    kept: dict = field(default_factory=dict)

    @classmethod
    def drawn(cls, draw):
        """Draw the weights."""
        return cls(drawn_weights(draw, SHAPE), drawn_head(draw, SHAPE.width))

    def inputs(self):
        """Return the arguments of a driver that are the weights."""
        return {"transformer": self.transformer, "weights": self.weights}

    @cached_property
    def halved(self):
        """The model with half of all weights."""
        return Model({name: weight / 2 for name, weight in self.transformer.items()}, [w / 2 for w in self.weights])

    @cached_property
    def exact(self):
        """The weights of the transformer in double precision, by name."""
        return {name: weight.double() for name, weight in self.transformer.items()}

    def outputs(self, input_ids):
        """Return what the transformer gives, in double precision."""
        key = (*input_ids.shape, input_ids.numpy().tobytes())
        if key not in self.kept:
            self.kept[key] = run(self.exact, SHAPE.heads, input_ids)
        return self.kept[key]

    def values(self, resid):
        """Return the head's values of a residual stream."""
        return head_values([weight.double() for weight in self.weights], resid)


def require_report(report):
    """Require that the answer has the right base class and, where it matters, a head of the right sizes."""
    assert "base class" not in report, (
        "HookedTransformerWithValueHead should be a subclass of rlhf_course.BridgeModel, which does the rest"
    )
    kind = known_class_name(report.get("kind of head", ""))
    assert "kind of head" not in report, f"The value head should be a module; a {kind} came"
    if "head" in report:
        count = len(report["head"])
        assert count == 4, f"The value head has {count} parameter tensors, and four are wanted: {HEAD}"
        raise AssertionError(f"The value head's layers have other sizes than wanted: {HEAD}")
    return report


def values_of_other_heads(weights, resid):
    """Return the values of wrong heads, by what they are in words."""
    values = {words: head_values(weights, resid, activation) for words, activation in ACTIVATIONS.items()}
    return values | {"with a ReLU after the last layer": head_values(weights, resid).relu()}


def expect_head(answer, draw):
    """Require right values of the head by itself, for the transformer's width and for another one."""
    for number, width in enumerate([SHAPE.width, draw.integer(5, 40)]):
        own = draw.numbered(number)
        weights, resid = drawn_head(own, width), 2 * own.normal(own.integer(2, 4), own.integer(2, 5), width)
        report = require_report(answer.head(width=width, weights=weights, resid=resid))
        exact, stream = [weight.double() for weight in weights], resid.double()
        right, others = head_values(exact, stream), partial(values_of_other_heads, exact, stream)
        expect_named(report["values"], right, others, "The output of the value head", "that of a head ", HEAD)


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


def expect_named(got, wanted, others, subject, prefix, why):
    """Require right numbers; the message names the wrong ones that came, if they are among those of `others()`."""
    try:
        expect_values(got, wanted, subject, why, rtol=1e-3, atol=1e-3)
    except AssertionError:
        for words, other in others().items():
            mended = mend(got, other.shape)
            if (
                mended is not None
                and mended.shape == other.shape
                and torch.allclose(mended.detach(), other, rtol=1e-3, atol=1e-3)
            ):
                raise AssertionError(f"{subject} is {prefix}{words}: {why}") from None
        raise


def expect_logits(got, model, input_ids, phrase):
    """Require the transformer's logits."""
    right = model.outputs(input_ids).logits

    def others():
        return {"log-probabilities": right.log_softmax(-1), "probabilities": right.softmax(-1)}

    expect_named(got, right, others, f"The tensor of logits {phrase}".strip(), "one of ", LOGITS)


def expect_head_values(got, model, input_ids, subject, why=VALUES, other_ids=None):
    """Require the head's values; `other_ids` are the token ids of another pass, whose values may have come."""
    outputs = model.outputs(input_ids)

    def others():
        streams = dict(outputs.others)
        if other_ids is not None:
            streams["the texts of that pass"] = model.outputs(other_ids).resid
        return {words: model.values(stream) for words, stream in streams.items()}

    expect_named(got, model.values(outputs.resid), others, subject, "that of the head for ", why)


def expect_pair(result, model, input_ids, phrase):
    """Require right logits and values of a call."""
    phrase, kind = phrase.strip(), known_class_name(result.get("kind", ""))
    assert "kind" not in result, f"forward_with_value_head should return logits and values; a {kind} came"
    expect_logits(result["logits"], model, input_ids, phrase)
    expect_head_values(result["values"], model, input_ids, f"The tensor of values {phrase}".strip())


def results_of(answer, model, sequence, **options):
    """Return what some operations on one model gave."""
    report = require_report(answer.calls(**model.inputs(), sequence=sequence, **options))
    assert len(report["results"]) == len(sequence), "Some operations gave no result"
    return report["results"]


@pytest.mark.points(1.5)
def test_the_head_is_a_linear_layer_a_relu_and_a_linear_layer_with_biases(HookedTransformerWithValueHead, draw):
    expect_head(HookedTransformerWithValueHead, draw)


@pytest.mark.points(2)
def test_each_call_gives_the_logits_and_values_of_its_own_texts(HookedTransformerWithValueHead, draw):
    model = draw.numbered(100).once(Model.drawn)
    made = list(INPUTS.calls(draw, [*SIZES, INPUTS.repeated(), INPUTS.many()]))

    again = [call.exact["input_ids"] for call in (made[-1], draw.choice(made))]

    def test(own_head):
        sequence = [*((CALL, *call.passed()) for call in made), (HALVE, None), *((CALL, ids) for ids in again)]
        results = results_of(HookedTransformerWithValueHead, model, sequence, own_head=own_head)
        for input_ids, result in zip(again, results[len(made) + 1 :], strict=True):
            expect_pair(result, model.halved, input_ids, "for texts of an earlier call, after the weights changed")
        for call, result in zip(made, results[: len(made)], strict=True):
            input_ids = call.exact["input_ids"]
            expect_pair(result, model, input_ids, call.circumstance.phrase)
            subject = call.subject("What value_head_output holds after a call")
            expect_head_values(result["stored"], model, input_ids, subject, "it is that call's values")

    with_the_head_or_a_right_one(HookedTransformerWithValueHead, draw, test)


@pytest.mark.points(1)
def test_logits_and_values_have_a_dimension_for_texts_and_one_for_positions(HookedTransformerWithValueHead, draw):
    model = draw.numbered(100).once(Model.drawn)
    made = list(INPUTS.calls(draw, SIZES, again=0))

    def test(own_head):
        sequence = [(CALL, *call.passed()) for call in made]
        results = results_of(HookedTransformerWithValueHead, model, sequence, own_head=own_head)
        for call, result in zip(made, results, strict=True):
            input_ids = call.exact["input_ids"]
            expect_pair(result, model, input_ids, call.circumstance.phrase)
            outputs = model.outputs(input_ids)
            expect_form(result["logits"], outputs.logits, call.subject("The tensor of logits"))
            expect_form(result["values"], model.values(outputs.resid), call.subject("The tensor of values"))

    with_the_head_or_a_right_one(HookedTransformerWithValueHead, draw, test)


def two_batches(draw):
    """Draw a model and two batches of other sizes."""
    first, second = (INPUTS.call(draw.numbered(number)).exact["input_ids"] for number in range(2))
    return draw.numbered(100).once(Model.drawn), first, second


@pytest.mark.points(1)
def test_no_hook_is_left_to_run_the_head_in_other_passes(HookedTransformerWithValueHead, draw):
    model, first, second = two_batches(draw)
    passes = draw.shuffled(["forward", "forward of the transformer", "run_with_cache"])

    def test(own_head):
        sequence = [(CALL, first), *((operation, second) for operation in passes), (CALL, second)]
        results = results_of(HookedTransformerWithValueHead, model, sequence, own_head=own_head)
        expect_pair(results[0], model, first, "")
        for operation, result in zip(passes, results[1:-1], strict=True):
            expect_logits(result["logits"], model, second, f"of {operation} after a call")
            subject = f"What value_head_output holds after {operation} with other texts"
            why = "it still holds the values of the latest call, since no hook is left to run the head"
            expect_head_values(result["stored"], model, first, subject, why, second)
            if "resid" in result:
                expect_values(result["resid"], model.outputs(second).resid, "The residual stream after a call")
        expect_pair(results[-1], model, second, "after other passes")
        [beside] = results_of(HookedTransformerWithValueHead, model, [(BESIDE_HOOKS, first)], own_head=own_head)
        expect_pair(beside, model, first, "of a transformer with hooks of the caller's")
        assert beside["hooks"], (
            "forward_with_value_head takes hooks off the transformer that were there before the call: remove none but "
            "its own (run_with_hooks does so; reset_hooks removes all)"
        )

    with_the_head_or_a_right_one(HookedTransformerWithValueHead, draw, test)


@pytest.mark.points(0.5)
def test_stored_values_are_cleared_before_a_call(HookedTransformerWithValueHead, draw):
    model, first, second = two_batches(draw)

    def test(own_head):
        sequence = [(CALL, first), (FAILING_CALL, torch.full_like(first, SHAPE.vocab)), (CALL, second)]
        before, failed, after = results_of(HookedTransformerWithValueHead, model, sequence, own_head=own_head)
        expect_pair(before, model, first, "")
        assert failed["stored"] is None, (
            "After a call that failed, value_head_output holds an earlier call's values: clear it before the pass"
        )
        expect_pair(after, model, second, "after a call that failed")

    with_the_head_or_a_right_one(HookedTransformerWithValueHead, draw, test)


@pytest.mark.points(0.5)
def test_without_a_head_there_are_logits_and_no_values(HookedTransformerWithValueHead, draw):
    model, first, second = two_batches(draw)
    sequence = [(CALL, first), ("forward", second), (CALL, second)]
    results = results_of(HookedTransformerWithValueHead, model, sequence, use_value_head=False)
    for result, input_ids in zip(results, (first, second, second), strict=True):
        assert "kind" not in result, (
            "Without a value head, forward_with_value_head should still return two values: the logits and None"
        )
        expect_logits(result["logits"], model, input_ids, "without a value head")
        assert result.get("values") is None, "Without a value head the values should be None"


MODES = (("train", ""), ("eval", "in evaluation mode"))
GRADIENT_WORDS = {
    "logits": "that of the logits alone: values reach the transformer too, so detach neither them nor the stream",
    "values": "that of the values alone: logits reach the transformer too",
}


def drawn_gradient_inputs(draw):
    """Draw a model, and inputs of which no hidden unit of the head lies near the ReLU's kink."""
    for number in range(100, 200):
        own = draw.numbered(number)
        model, input_ids = Model.drawn(own), INPUTS.call(own).exact["input_ids"]
        up, bias = (weight.double() for weight in model.weights[:2])
        if float((model.outputs(input_ids).resid @ up.T + bias).abs().min()) > 1e-4:
            break
    return model, {
        "input_ids": input_ids,
        "of_logits": own.normal(*input_ids.shape, SHAPE.vocab),
        "of_values": 2 * own.normal(*input_ids.shape),
    }


def drawn_gradient_case(draw):
    """Draw a model and inputs, and return them with the right gradients."""
    model, inputs = drawn_gradient_inputs(draw)
    return model, inputs, right_gradients(model, **inputs)


def right_gradients(model, input_ids, of_logits, of_values):
    """Return for each sum, of logits, of values and of both, the gradients of all parameters by name."""
    leaves = {name: weight.double().requires_grad_(True) for name, weight in model.transformer.items()}
    head = [weight.double().requires_grad_(True) for weight in model.weights]
    outputs = run(leaves, SHAPE.heads, input_ids)
    sums = {
        "logits": (outputs.logits * of_logits).sum(),
        "values": (head_values(head, outputs.resid) * of_values).sum(),
    }
    sums["both"] = sums["logits"] + sums["values"]
    leaves |= {f"head {index}": weight for index, weight in enumerate(head)}
    found = {}
    for name, total in sums.items():
        gradients = torch.autograd.grad(total, list(leaves.values()), retain_graph=True, materialize_grads=True)
        found[name] = dict(zip(leaves, gradients, strict=True))
    return found


def expect_gradients(got, wanted, names, part):
    """Require right gradients of some parameters; each is compared in units of its largest entry."""
    overall = max(float(wanted["both"][name].abs().max()) for name in names)
    units = [max(float(wanted["both"][name].abs().max()), 1e-3 * overall) for name in names]

    def flat(gradients):
        return torch.cat([gradients[name].double().flatten() / unit for name, unit in zip(names, units, strict=True)])

    for name in names:
        assert got[name].shape == wanted["both"][name].shape, f"A gradient at {part} has another shape than wanted"

    def others():
        return {words: flat(wanted[name]) for name, words in GRADIENT_WORDS.items()}

    why = "it is that of logits and values"
    expect_named(flat(got), flat(wanted["both"]), others, f"The gradient at {part}", "", why)


@pytest.mark.points(2)
def test_gradients_of_logits_and_values_reach_the_head_and_the_transformer(HookedTransformerWithValueHead, draw):
    model, inputs, wanted = draw.once(drawn_gradient_case)

    def test(own_head, mode, phrase):
        made = HookedTransformerWithValueHead.gradients(**model.inputs(), **inputs, mode=mode, own_head=own_head)
        report = require_report(made)
        expect_pair(report, model, inputs["input_ids"], phrase)
        base = report["transformer"]
        is_listed = set(base) == set(model.transformer)
        assert is_listed, "get_base_model_trainable_params should list the parameters that logits depend on, each once"
        assert all(gradient is not None for gradient in base.values()), (
            f"No gradient of logits and values reaches some parameters of the transformer {phrase}".strip()
        )
        head = report["value head"]
        assert len(head) == len(model.weights), "get_value_head_params should list the head's parameters"
        assert all(gradient is not None for gradient in head), (
            f"{f'No gradient of the values reaches the value head {phrase}'.strip()}, so it cannot learn"
        )
        names = [f"head {index}" for index in range(len(head))]
        expect_gradients(dict(zip(names, head, strict=True)), wanted, names, f"the value head {phrase}".strip())
        expect_gradients(base, wanted, list(model.transformer), f"the transformer {phrase}".strip())

    for mode, phrase in MODES:
        with_the_head_or_a_right_one(HookedTransformerWithValueHead, draw, partial(test, mode=mode, phrase=phrase))
    with_the_head_or_a_right_one(
        HookedTransformerWithValueHead, draw, partial(expect_no_gradients, HookedTransformerWithValueHead, draw)
    )


def expect_no_gradients(answer, draw, own_head):
    """Require that a call computes no gradients where its caller has switched them off, as a rollout does."""
    model, input_ids, _ = two_batches(draw)
    [result] = results_of(answer, model, [(WITHOUT_GRADIENTS, input_ids)], own_head=own_head)
    expect_pair(result, model, input_ids, "under torch.no_grad")
    expect_gradients_off(result, "forward_with_value_head")


@pytest.mark.points(0.5)
def test_to_train_eval_and_a_saved_state_reach_the_transformer_and_the_head(HookedTransformerWithValueHead, draw):
    model, first, second = two_batches(draw)

    def test(own_head):
        report = HookedTransformerWithValueHead.saved(**model.inputs(), input_ids=first, own_head=own_head)
        expect_pair(require_report(report), model, first, "of a model that loaded another's state_dict")
        expect_torch_as_it_was(report, "Making the model")
        sequence = [("train", None), (CALL, first), ("eval", None), (CALL, second), ("double", None), (CALL, first)]
        try:
            results = results_of(HookedTransformerWithValueHead, model, sequence, own_head=own_head)
        except AnswerError as error:
            assert "RuntimeError" not in error.exception, (
                "A call after `to(torch.float64)` raises RuntimeError: `to` casts the transformer and the head alike"
            )
            raise
        expect_pair(results[1], model, first, "in training mode")
        expect_pair(results[3], model, second, "in evaluation mode")
        expect_pair(results[5], model, first, "in double precision")
        for result in results[1::2]:
            expect_torch_as_it_was(result, "forward_with_value_head")
        is_changed = any(result["mode"] for result in results[1::2])
        assert not is_changed, "forward_with_value_head changes the training mode of the model: leave it as it was"
        resid = model.outputs(first).resid
        why = "`to` casts the transformer and the head alike"
        subject = "The tensor of values in double precision"
        expect_values(results[5]["values"], model.values(resid), subject, why, rtol=1e-9, atol=1e-9)

    with_the_head_or_a_right_one(HookedTransformerWithValueHead, draw, test)


@pytest.mark.points(0.5)
def test_fwd_hooks_let_the_head_read_the_residual_stream(HookedTransformerWithValueHead, draw):
    model, first, second = two_batches(draw)

    def test(own_head):
        sequence = [("run_with_hooks", first), ("run_with_hooks", second)]
        results = results_of(HookedTransformerWithValueHead, model, sequence, own_head=own_head)
        for input_ids, result in zip((first, second), results, strict=True):
            expect_logits(result["logits"], model, input_ids, "of a pass with the model's fwd_hooks")
            why = "run_value_head stores the values, and fwd_hooks holds it for the residual stream"
            subject = "What value_head_output holds after a pass with the model's fwd_hooks"
            expect_head_values(result["stored"], model, input_ids, subject, why)

    with_the_head_or_a_right_one(HookedTransformerWithValueHead, draw, test)


def drawn_text(draw):
    """Draw a text of words that are tokens, and its token ids without the beginning."""
    words = ["This", *draw.sample([word for word in VOCABULARY if word.startswith(" ")], draw.integer(3, 6)), "."]
    return "".join(words), [VOCABULARY.index(word) for word in words]


def drawn_continuation(draw, ids, length):
    """Draw a model, and the ids that it continues a text with greedily.

    No choice between two tokens is close, and none is the end-of-text token, at which `generate` stops.
    """
    end = VOCABULARY.index("<|endoftext|>")
    for number in range(100, 1000):
        model, continued = Model.drawn(draw.numbered(number)), torch.tensor([ids])
        gaps = []
        for _ in range(length):
            best = model.outputs(continued).logits[:, -1:].topk(2)
            gaps.append(float(best.values[..., 0] - best.values[..., 1]))
            continued = torch.cat([continued, best.indices[..., 0]], dim=1)
        if min(gaps) > 0.01 and end not in continued[0, len(ids) :]:
            return model, continued
    raise AssertionError("no drawn model continues the text as the test needs it")


def drawn_text_case(draw):
    """Draw a text, its token ids, how many more to generate, a model, and all ids after that."""
    text, bare = drawn_text(draw)
    ids, length = [VOCABULARY.index("<|endoftext|>"), *bare], draw.integer(2, 5)
    return text, ids, length, *drawn_continuation(draw, ids, length)


@pytest.mark.points(0.5)
def test_texts_tokens_and_sizes_are_the_transformers(HookedTransformerWithValueHead, draw):
    text, ids, length, model, continued = draw.once(drawn_text_case)
    bare = ids[1:]

    def test(own_head):
        report = require_report(
            HookedTransformerWithValueHead.bridged(**model.inputs(), text=text, length=length, own_head=own_head)
        )
        assert report["width"] == SHAPE.width, "cfg should be the transformer's: cfg.d_model is another"
        for name, wanted, subject in (
            ("bare", bare, "without prepend_bos"),
            ("ids", ids, "by default, which puts the beginning first"),
        ):
            assert isinstance(report[name], torch.Tensor) and report[name].tolist() == [wanted], (
                f"to_tokens should give the transformer's ids {subject}"
            )
        pieces = [VOCABULARY[token] for token in ids]
        assert report["pieces"] == pieces, "to_str_tokens should give the texts of the tokens"
        assert report["string"] == report["decoded"] == "".join(pieces), (
            "to_string and the tokenizer should give the text of the ids"
        )
        found = report["continued"]
        assert isinstance(found, torch.Tensor) and torch.equal(found, continued), (
            "generate should continue a text as the transformer does"
        )
        expect_pair(report, model, continued, "for generated texts")

    with_the_head_or_a_right_one(HookedTransformerWithValueHead, draw, test)
