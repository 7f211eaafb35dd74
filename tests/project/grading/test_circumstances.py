"""Calls are drawn in each circumstance that a contract admits, and the judge's own numbers stay as they are."""

import pytest
import torch

from rlhf_course.grading.judge.circumstances import (
    DOUBLE,
    EQUAL_SIZES,
    GPT2_VOCABULARY,
    ORDINARY,
    SLICE,
    TRANSPOSED,
    WITH_GRADIENT,
    Floats,
    Inputs,
    Number,
    Size,
    Tokens,
)
from rlhf_course.grading.judge.draw import Draw
from rlhf_course.grading.secret import PUBLIC

INPUTS = Inputs(
    sizes={"texts": (1, 6), "prefix": (1, 5), "gen_len": (1, 7), "vocab": (3, 9)},
    arguments={
        "logits": Floats(("texts", "prefix + gen_len", "vocab"), scale=2.0),
        "tokens": Tokens(("texts", "prefix + gen_len")),
        "coef": Number(0.5, 2.0),
        "prefix_len": Size("prefix"),
    },
    words={"texts": "one text", "gen_len": "one generated token"},
    vocabulary="vocab",
    extreme=10_000,
)


@pytest.fixture
def draw():
    return Draw(PUBLIC, "a/test")


def test_sizes_all_differ_in_ordinary_calls_and_none_does_where_they_are_to_be_equal(draw):
    for number in range(20):
        call = INPUTS.call(draw.numbered(number))
        texts, seq, vocab = call.exact["logits"].shape
        prefix = call.exact["prefix_len"]
        assert len({texts, prefix, seq - prefix, vocab}) == 4
        assert call.exact["tokens"].shape == (texts, seq) and int(call.exact["tokens"].max()) < vocab
        equal = INPUTS.call(draw.numbered(number), EQUAL_SIZES)
        texts, seq, vocab = equal.exact["logits"].shape
        assert texts == vocab == equal.exact["prefix_len"] and seq == 2 * texts


def test_each_circumstance_is_what_its_phrase_says(draw):
    def logits(circumstance):
        return INPUTS.call(draw.numbered(1), circumstance).passed()[0]

    assert logits(ORDINARY).is_contiguous() and logits(ORDINARY).dtype == torch.float32
    assert not logits(SLICE).is_contiguous() and logits(SLICE).stride(-1) == 1
    assert not logits(TRANSPOSED).is_contiguous() and logits(TRANSPOSED).stride(0) == 1
    assert logits(DOUBLE).dtype == torch.float64
    assert logits(WITH_GRADIENT).requires_grad and logits(WITH_GRADIENT).is_leaf
    assert bool((logits(INPUTS.repeated()) == logits(INPUTS.repeated())[:1]).all())
    assert logits(INPUTS.large_vocabulary()).shape[-1] == GPT2_VOCABULARY
    assert float(logits(INPUTS.extreme_entries()).abs().min()) > 9_900
    one_text, one_token = INPUTS.size_circumstances()[1:]
    assert one_text.phrase == "for one text" and logits(one_text).shape[0] == 1
    call = INPUTS.call(draw, one_token)
    assert call.exact["logits"].shape[1] == call.exact["prefix_len"] + 1


def test_what_an_answer_does_to_its_arguments_changes_nothing_that_the_judge_computes_with(draw):
    call = INPUTS.call(draw)
    exact = {name: value.clone() for name, value in call.exact.items() if isinstance(value, torch.Tensor)}
    passed = call.passed()
    assert call.changed(passed) == []
    passed[0].zero_()
    passed[1].resize_(0)
    assert call.changed(passed) == ["logits", "tokens"]
    assert all(torch.equal(call.exact[name], value) for name, value in exact.items())
    assert call.changed(call.passed()) == []


def test_calls_come_in_an_order_of_the_secrets_with_some_of_them_made_again(draw):
    circumstances = INPUTS.all_circumstances()
    calls = list(INPUTS.calls(draw, circumstances, again=2))
    phrases = [call.circumstance.phrase for call in calls]
    assert sorted(phrases[:-2]) == sorted(circumstance.phrase for circumstance in circumstances)
    assert phrases[:-2] != [circumstance.phrase for circumstance in circumstances]
    for call in calls[-2:]:
        assert call.circumstance.phrase.endswith("in a second call")
        assert any(torch.equal(call.exact["logits"], other.exact["logits"]) for other in calls[:-2])


def test_an_exercise_without_differentiable_floats_or_vocabulary_is_spared_those_circumstances():
    inputs = Inputs({"texts": (1, 5)}, {"reward": Floats(("texts",), differentiable=False)})
    phrases = [circumstance.phrase for circumstance in inputs.all_circumstances()]
    assert not any("gradient" in phrase or "vocabulary" in phrase for phrase in phrases)
    with pytest.raises(AssertionError, match="admits no extreme entries"):
        inputs.extreme_entries()
