"""Hidden tests of `HookedTransformerWithValueHead`, on a GPT-2 of two layers.

The expected logits come from Hugging Face's own code, the expected values from the head's formula.
"""

from functools import cache

import pytest
import torch

from rlhf_course.checks.core import integers, normal
from rlhf_course.checks.tiny import VOCABULARY, gpt2_folder
from rlhf_course.grading.judge.expect import expect, expect_floats
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.sandbox.serialization import known_class_name

WIDTH = 24
SHAPES = [[4 * WIDTH, WIDTH], [4 * WIDTH], [1, 4 * WIDTH], [1]]
WEIGHTS = [0.4 * normal(*shape, seed=900 + index) for index, shape in enumerate(SHAPES)]
IDS, OTHER_IDS = integers(0, 37, 3, 5, seed=910), integers(0, 37, 3, 5, seed=911)
VALUES = (
    "a value is the output of the head (Linear, ReLU, Linear) for the residual stream after the last normalisation, at "
    "each position"
)
LOGITS = "they are the transformer's, unchanged by the head"


@cache
def transformer(dtype):
    """Return the same GPT-2, loaded with Hugging Face's own code."""
    from transformers import GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(gpt2_folder()).to(dtype).eval()


def expected_outputs(input_ids, dtype=torch.float32):
    """Return the logits, and the head's values for the last residual stream, normalised without scale and bias."""
    model, streams = transformer(dtype), []
    hook = model.transformer.ln_f.register_forward_pre_hook(lambda module, inputs: streams.append(inputs[0]))
    with torch.no_grad():
        logits = model(input_ids).logits
    hook.remove()
    up, up_bias, down, down_bias = (weight.to(dtype) for weight in WEIGHTS)
    resid = torch.nn.functional.layer_norm(streams[0], (WIDTH,), eps=model.config.layer_norm_epsilon)
    return logits, ((resid @ up.T + up_bias).relu() @ down.T + down_bias)[..., 0]


def require_head(report):
    """Check the sizes of the head's layers."""
    head = [tuple(shape) for shape in report["head"]]
    wanted = [tuple(shape) for shape in SHAPES]
    assert len(head) == len(wanted), (
        "The value head should have a Linear from d_model to 4 * d_model and one from there to 1, both with biases; "
        f"it has {len(head)} parameter tensors, and four are wanted"
    )
    assert head == wanted, (
        "The value head's layers have other sizes than wanted: from d_model to 4 * d_model, and from there to 1"
    )


def expect_pair(report, input_ids, subject, dtype=torch.float32):
    """Compare logits and values with the expected ones."""
    kind = known_class_name(report.get("result", "")[1:-1])
    assert "result" not in report, f"forward_with_value_head should return logits and values; a {kind} came"
    logits, values = expected_outputs(input_ids, dtype)
    expect_floats(report["values"], 2, f"The returned value tensor of {subject}")
    expect(report["logits"], logits, f"The returned logits of {subject}", LOGITS, atol=1e-4)
    expect(report["values"], values, f"The returned value tensor of {subject}", VALUES, atol=1e-4)


@pytest.mark.points(1.5)
def test_each_call_gives_the_logits_and_values_of_its_own_texts(HookedTransformerWithValueHead):
    batches = [IDS, OTHER_IDS, integers(0, 37, 2, 7, seed=912)]
    report = HookedTransformerWithValueHead.forward(batches=batches, weights=WEIGHTS)
    require_head(report)
    for input_ids, call in zip(batches, report["calls"], strict=True):
        expect_pair(call, input_ids, "a batch")
        expect(
            call["stored"],
            expected_outputs(input_ids)[1],
            "What value_head_output holds after a call",
            "it is that call's values",
            atol=1e-4,
        )


@pytest.mark.points(1)
def test_one_text_and_one_token_keep_their_dimensions(HookedTransformerWithValueHead):
    for texts, seq, subject in ((1, 6, "one text"), (2, 1, "texts of one token"), (1, 1, "one text of one token")):
        input_ids = integers(0, 37, texts, seq, seed=913 + seq)
        report = HookedTransformerWithValueHead.forward(batches=[input_ids], weights=WEIGHTS)
        require_head(report)
        expect_pair(report["calls"][0], input_ids, subject)


@pytest.mark.points(1)
def test_no_hook_is_left_to_overwrite_the_values_in_a_plain_pass(HookedTransformerWithValueHead):
    report = HookedTransformerWithValueHead.leftovers(input_ids=IDS, other_ids=OTHER_IDS, weights=WEIGHTS)
    require_head(report)
    expect(
        report["called"],
        expected_outputs(OTHER_IDS)[0],
        "What calling the model gives",
        "it is the plain forward pass: logits alone",
        atol=1e-4,
    )
    expect(
        report["transformer"],
        expected_outputs(OTHER_IDS)[0],
        "What the transformer gives after a call",
        LOGITS,
        atol=1e-4,
    )
    reason = "it is still the values of the latest call: a hook that is left behind runs the head again"
    expect(
        report["stored"],
        expected_outputs(IDS)[1],
        "What value_head_output holds after other texts went through the transformer",
        reason,
        atol=1e-4,
    )


@pytest.mark.points(1)
def test_stored_values_are_cleared_before_a_call(HookedTransformerWithValueHead):
    report = HookedTransformerWithValueHead.failure(input_ids=IDS, weights=WEIGHTS)
    require_head(report)
    expect(report["before"], expected_outputs(IDS)[1], "What value_head_output holds after a call", VALUES, atol=1e-4)
    assert report["after"] is None, (
        "After a call that failed, value_head_output holds an earlier call's values: clear it before the pass"
    )


@pytest.mark.points(1)
def test_without_a_head_there_are_logits_and_no_values(HookedTransformerWithValueHead):
    report = HookedTransformerWithValueHead.without_head(input_ids=IDS)
    assert "result" not in report, (
        "Without a value head, forward_with_value_head should still return two values: the logits and None"
    )
    expect(report["logits"], expected_outputs(IDS)[0], "The returned logits without a value head", LOGITS, atol=1e-4)
    expect(
        report["plain"],
        expected_outputs(IDS)[0],
        "What calling the model gives without a value head",
        LOGITS,
        atol=1e-4,
    )
    assert report["values"] is None, "Without a value head the values should be None"
    assert report["value_head"] is None and report["parameters"] == 0, (
        "With use_value_head=False there should be no value head"
    )


GRADIENT_INPUTS = {
    "input_ids": IDS,
    "weights": WEIGHTS,
    "of_logits": normal(3, 5, 37, seed=920),
    "of_values": normal(3, 5, seed=921),
}


@cache
def reference_gradients():
    """Return the gradients of the reference."""
    return reference_answers().answer("HookedTransformerWithValueHead").gradients(**GRADIENT_INPUTS)


@pytest.mark.points(1.5)
def test_gradients_reach_the_head_and_the_transformer(HookedTransformerWithValueHead):
    report, wanted = HookedTransformerWithValueHead.gradients(**GRADIENT_INPUTS), reference_gradients()
    require_head(report)
    expect_pair(report, IDS, "a batch")
    assert report["listed"] == wanted["listed"] and set(report["base"]) == set(wanted["base"]), (
        "get_base_model_trainable_params should list each of the transformer's parameters that logits depend on once, "
        "and no other"
    )
    for got, right in zip(report["of the head"], wanted["of the head"], strict=True):
        assert got is not None, "No gradient of the values reaches the value head, so it cannot learn"
        expect(got, right, "The gradient of the values at the head", rtol=1e-3, atol=1e-3)
    for name, right in wanted["base"].items():
        got = report["base"][name]
        assert got is not None, "A gradient of logits and values does not reach every parameter of the transformer"
        expect(
            got,
            right,
            "The gradient at the transformer",
            "logits and values both reach it: detach neither, nor the residual stream",
            rtol=1e-3,
            atol=1e-3,
        )


@pytest.mark.points(1)
def test_a_saved_state_holds_the_transformer_and_the_head(HookedTransformerWithValueHead):
    report = HookedTransformerWithValueHead.saved(input_ids=IDS, weights=WEIGHTS)
    require_head(report)
    expect_pair(report, IDS, "a model that loaded another's state_dict")


@pytest.mark.points(1)
def test_to_train_and_eval_reach_the_transformer_and_the_head(HookedTransformerWithValueHead):
    report = HookedTransformerWithValueHead.modes(input_ids=IDS, weights=WEIGHTS)
    require_head(report)
    assert all(report["to"]), "`to` does not reach the transformer and the head alike: it casts one of them alone"
    expect_pair(report, IDS, "a model in double precision", torch.float64)
    assert all(report["train"]) and all(report["eval"]), (
        "`train` and `eval` do not reach the transformer and the head alike"
    )


@pytest.mark.points(0.5)
def test_fwd_hooks_let_the_head_read_the_residual_stream(HookedTransformerWithValueHead):
    report = HookedTransformerWithValueHead.hooks(input_ids=IDS, weights=WEIGHTS)
    require_head(report)
    expect(
        report["logits"],
        expected_outputs(IDS)[0],
        "The returned logits of a pass with the model's fwd_hooks",
        LOGITS,
        atol=1e-4,
    )
    reason = "run_value_head stores the values, and fwd_hooks holds it for the residual stream"
    expect(
        report["stored"],
        expected_outputs(IDS)[1],
        "What value_head_output holds after a pass with the model's fwd_hooks",
        reason,
        atol=1e-4,
    )


@pytest.mark.points(0.5)
def test_texts_tokens_and_sizes_are_the_transformers(HookedTransformerWithValueHead):
    text, bare = "This story is dull", [VOCABULARY.index(word) for word in ("This", " story", " is", " dull")]
    report = HookedTransformerWithValueHead.bridged(text=text, length=3)
    assert report["width"] == WIDTH, "cfg should be the transformer's: cfg.d_model is another"
    for name, wanted, subject in (
        ("bare", bare, "without prepend_bos"),
        ("ids", [0, *bare], "by default, which puts the beginning first"),
    ):
        assert isinstance(report[name], torch.Tensor) and report[name].tolist() == [wanted], (
            f"to_tokens should give the transformer's ids {subject}"
        )
    assert report["pieces"] == [VOCABULARY[token] for token in [0, *bare]], (
        "to_str_tokens should give the texts of the tokens"
    )
    assert report["string"] == report["decoded"] == VOCABULARY[0] + text, (
        "to_string and the tokenizer should give the text of the ids"
    )
    ids = torch.tensor([[0, *bare]])
    for _ in range(3):
        ids = torch.cat([ids, expected_outputs(ids)[0][:, -1:].argmax(-1)], dim=1)
    continued = report["continued"]
    assert isinstance(continued, torch.Tensor) and torch.equal(continued, ids), (
        "generate should continue a text as the transformer does"
    )
