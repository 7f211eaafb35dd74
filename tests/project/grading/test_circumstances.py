"""Calls are drawn in each circumstance that a contract admits, and the judge's own numbers stay as they are."""

from dataclasses import replace

import pytest
import torch

from rlhf_course.grading.judge.circumstances import (
    BEYOND_FLOAT32,
    COMPLETION_CIRCUMSTANCES,
    DOUBLE,
    EMBEDDED_VOCABULARY,
    END_TOKENS,
    EQUAL_SIZES,
    GPT2_VOCABULARY,
    IN_A_ROLLOUT,
    MASK_CIRCUMSTANCES,
    ORDINARY,
    SLICE,
    TRANSPOSED,
    WITH_GRADIENT,
    WITH_GRAPH,
    CallCache,
    Choice,
    Floats,
    Inputs,
    Mask,
    Number,
    Size,
    Texts,
    Tokens,
)
from rlhf_course.grading.judge.draw import Draw
from rlhf_course.grading.judge.rollouts import drawn_minibatch, drawn_texts, drawn_values
from rlhf_course.grading.secret import PUBLIC, new_secret

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
    beyond = logits(BEYOND_FLOAT32)
    assert beyond.float().unique().numel() <= 2 < beyond.unique().numel()
    assert torch.equal(beyond - BEYOND_FLOAT32.level, logits(DOUBLE))
    assert logits(WITH_GRADIENT).requires_grad and logits(WITH_GRADIENT).is_leaf
    assert logits(WITH_GRAPH).requires_grad and not logits(WITH_GRAPH).is_leaf
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
    assert sorted(phrases[:-3]) == sorted(circumstance.phrase for circumstance in circumstances)
    assert phrases[:-3] != [circumstance.phrase for circumstance in circumstances]
    for call in calls[-2:]:
        assert call.circumstance.phrase.endswith("in a second call")
        assert any(torch.equal(call.exact["logits"], other.exact["logits"]) for other in calls[:-2])
    alike = calls[-3]
    assert alike.circumstance.phrase.endswith("after a call with other values of the same sizes")
    assert any(other.sizes == alike.sizes for other in calls[:-3])
    assert not any(torch.equal(alike.exact["logits"], other.exact["logits"]) for other in calls[:-3])


def test_an_exercise_without_differentiable_floats_or_vocabulary_is_spared_those_circumstances():
    inputs = Inputs({"texts": (1, 5)}, {"reward": Floats(("texts",), differentiable=False)})
    phrases = [circumstance.phrase for circumstance in inputs.all_circumstances()]
    assert not any("gradient" in phrase or "vocabulary" in phrase for phrase in phrases)
    with pytest.raises(AssertionError, match="admits no extreme entries"):
        inputs.extreme_entries()


def test_an_argument_can_be_given_another_value(draw):
    call = INPUTS.call(draw, SLICE)
    logits = call.exact["logits"].float() + 1
    other = call.with_arguments("for higher logits", logits=logits)
    assert torch.equal(other.passed()[0], logits) and not other.passed()[0].is_contiguous()
    assert torch.equal(other.exact["logits"], logits.double()) and other.exact["coef"] == call.exact["coef"]
    assert other.subject("The sum") == "The sum for higher logits" and other.changed(other.passed()) == []
    assert call.with_arguments(coef=1.0).subject("The sum") == call.subject("The sum")
    with pytest.raises(AssertionError, match="no such argument"):
        call.with_arguments(labels=1)


def test_an_argument_that_is_detached_in_place_is_flagged(draw):
    call = INPUTS.call(draw, WITH_GRAPH)
    passed = call.passed()
    assert call.flagged(passed) == []
    passed[0].detach_()
    assert call.flagged(passed) == ["logits"] and call.changed(passed) == []
    passed = INPUTS.call(draw).passed()
    passed[0].requires_grad_()
    assert INPUTS.call(draw).flagged(passed) == ["logits"]


@pytest.mark.parametrize("size", [EMBEDDED_VOCABULARY, GPT2_VOCABULARY])
def test_peaked_rows_give_most_of_the_probability_to_a_few_tokens(draw, size):
    (circumstance,) = [one for one in INPUTS.peaked_rows() if one.sizes["vocab"] == size]
    probabilities = INPUTS.call(draw, circumstance).exact["logits"].softmax(-1)
    assert probabilities.shape[-1] == size
    likely = probabilities.topk(10, -1).values.sum(-1)
    assert float(likely.mean()) > 0.6 and float(likely.max()) < 0.9999
    assert float(probabilities[..., -1].max()) > 0.01, "the end-of-text token is never likely"


def masked(kind):
    """Inputs of token ids with a mask."""
    arguments = {"ids": Tokens(("texts", "seq")), "mask": Mask(("texts", "seq"), kind)}
    return Inputs({"texts": (3, 6), "seq": (4, 9), "vocab": (5, 9)}, arguments, words={"texts": "one text"})


def is_one_run(row):
    """Whether the True entries of a row follow each other without a gap."""
    places = row.nonzero().flatten().tolist()
    return places == list(range(places[0], places[-1] + 1)) if places else True


def test_a_mask_is_true_at_one_run_of_each_row_which_reaches_the_side_without_padding(draw):
    right, left, unpadded = MASK_CIRCUMSTANCES
    for number in range(10):
        for kind in ("attention", "completion"):
            for circumstance in (ORDINARY, right, left, unpadded):
                mask = masked(kind).call(draw.numbered(number), circumstance).passed()[1]
                assert mask.dtype == torch.bool and all(map(is_one_run, mask)) and bool(mask.any(1).all())
        call = masked("attention").call
        assert bool(call(draw.numbered(number), right).passed()[1][:, 0].all())
        assert bool(call(draw.numbered(number), left).passed()[1][:, -1].all())
        assert bool(call(draw.numbered(number), unpadded).passed()[1].all())
    sides = [call(draw.numbered(number)).passed()[1] for number in range(10)]
    assert any(not bool(mask[:, 0].all()) and not bool(mask[:, -1].all()) for mask in sides), "both sides in one batch"


def test_completions_may_be_missing_or_begin_at_the_first_token_and_are_circumstances_of_completions_alone(draw):
    missing, whole = COMPLETION_CIRCUMSTANCES
    call = masked("completion").call
    assert any(not bool(call(draw.numbered(number), missing).passed()[1][0].any()) for number in range(3))
    unpadded_whole = replace(whole, padding="none")
    assert bool(call(draw, unpadded_whole).passed()[1].all())
    phrases = {kind: [one.phrase for one in masked(kind).all_circumstances()] for kind in ("attention", "completion")}
    assert {one.phrase for one in MASK_CIRCUMSTANCES} <= set(phrases["attention"]) & set(phrases["completion"])
    assert not {one.phrase for one in COMPLETION_CIRCUMSTANCES} & set(phrases["attention"])
    assert END_TOKENS.phrase in phrases["attention"] and END_TOKENS.phrase not in phrases["completion"]


def test_where_the_padding_token_ends_texts_all_padding_and_each_last_token_have_the_last_id(draw):
    for number in range(5):
        call = masked("attention").call(draw.numbered(number), END_TOKENS)
        ids, mask = call.passed()
        end = call.sizes["vocab"] - 1
        assert bool((ids[~mask] == end).all())
        for row, real in zip(ids, mask, strict=True):
            assert row[real][-1] == end


TEXTS = Inputs(
    sizes={"texts": (2, 6)},
    arguments={"texts": Texts("texts"), "char": Choice((".", "e"))},
    words={"texts": "one text"},
)


def test_texts_are_drawn_in_circumstances_of_their_own(draw):
    found = {circumstance.phrase: TEXTS.call(draw, circumstance) for circumstance in TEXTS.all_circumstances()}
    assert not any("transposed" in phrase or "float64" in phrase for phrase in found)
    texts = {phrase.removeprefix("for ").removeprefix("texts "): call.passed()[0] for phrase, call in found.items()}
    assert len(texts["one text"]) == 1 and len(texts["many texts"]) > 60
    assert len(set(texts["equal texts"])) == 1 < len(texts["equal texts"])
    assert any(not text.strip() for text in texts["of which some are empty or blank"])
    assert all(len(text.split()) >= 45 for text in texts["of 45 words and more"])
    assert all("\n" in text for text in texts["of several lines"])
    assert any(
        not text.isascii() for text in texts["with curly quotes, ellipsis characters and letters of many alphabets"]
    )
    assert len(set(texts["of which some are equal"])) < len(texts["of which some are equal"])
    assert {call.passed()[1] for call in found.values()} == {".", "e"}


def test_a_list_of_texts_that_an_answer_changes_is_noticed_and_not_the_judges(draw):
    call = TEXTS.call(draw)
    passed = call.passed()
    assert call.changed(passed) == []
    passed[0].pop()
    assert call.changed(passed) == ["texts"] and len(call.exact["texts"]) == len(passed[0]) + 1


def test_a_recorded_rollout_is_drawn_with_the_trainers_slices_and_with_other_numbers_under_another_secret():
    def logits_of(batch):
        return {"logits": batch.generated(batch.logits), "gen_len": batch.gen_len}

    inputs = Inputs(
        sizes={"texts": (2, 6), "gen_len": (2, 7), "vocab": (3, 9)},
        arguments={"logits": Floats(("texts", "gen_len", "vocab")), "gen_len": Size("gen_len")},
        rollout=lambda draw: logits_of(drawn_minibatch(draw)),
    )
    assert IN_A_ROLLOUT in inputs.other_circumstances()
    calls = [inputs.call(Draw(secret, "part/exercise/test"), IN_A_ROLLOUT) for secret in (PUBLIC, new_secret())]
    for call in calls:
        logits, gen_len = call.passed()
        assert logits.shape == (2, gen_len, EMBEDDED_VOCABULARY) and not logits.is_contiguous()
        assert float(logits.softmax(-1).topk(10, -1).values.sum(-1).mean()) > 0.4, "a model's rows are peaked"
        assert call.changed([logits, gen_len]) == []
    assert not torch.equal(calls[0].exact["logits"], calls[1].exact["logits"])


def test_values_rewards_and_texts_of_a_rollout_belong_together(draw):
    values, rewards, prefix_len = drawn_values(draw)
    assert len(values) == len(rewards) > 5 and values.shape[1] > prefix_len > 1
    assert set(rewards.tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert all(text.startswith("<|endoftext|>This") for text in drawn_texts(draw))


@pytest.mark.parametrize("circumstance", [*INPUTS.all_circumstances(), IN_A_ROLLOUT], ids=lambda one: one.phrase)
def test_what_an_answer_does_to_its_arguments_reaches_neither_the_judge_nor_a_later_call(draw, circumstance):
    call = INPUTS.call(draw, circumstance)
    before = [value.clone() if isinstance(value, torch.Tensor) else value for value in call.exact.values()]
    for value in call.passed():
        if isinstance(value, torch.Tensor):
            value.data.zero_()
    assert call.changed(call.passed()) == []
    assert all(
        torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second
        for first, second in zip(before, call.exact.values(), strict=True)
    )


def test_the_answers_of_a_class_share_drawn_calls_and_what_is_drawn_after_them_is_the_same():
    secret = new_secret()

    def calls_and_later_draws():
        draw = Draw(secret, "part/exercise/test")
        calls = list(INPUTS.calls(draw, INPUTS.all_circumstances(), again=2))
        return calls, draw.integer(0, 10**9), draw.normal(3)

    (first, number, numbers), (second, same_number, same_numbers) = calls_and_later_draws(), calls_and_later_draws()
    assert all(call is other for call, other in zip(first, second, strict=True))
    assert number == same_number and torch.equal(numbers, same_numbers)
    draw = Draw(secret, "part/exercise/test")
    draw.integer(0, 1)  # a test that has drawn something else before gets other calls
    assert next(INPUTS.calls(draw, INPUTS.all_circumstances(), again=2)) is not first[0]
    others = list(INPUTS.calls(Draw(new_secret(), "part/exercise/test"), INPUTS.all_circumstances(), again=2))
    assert not any(call is other for call in first for other in others)


def test_the_right_result_of_a_call_is_computed_once_and_anew_for_other_arguments(draw):
    computed = []

    def formula(logits, tokens, coef, prefix_len):
        computed.append(coef)
        return coef * logits.sum()

    call = INPUTS.call(draw)
    assert call.right(formula) is call.right(formula) and len(computed) == 1
    other = call.with_arguments(coef=call.exact["coef"] + 1)
    assert float(other.right(formula)) != float(call.right(formula)) and len(computed) == 2


def test_kept_calls_take_no_more_memory_than_they_may(draw):
    one = INPUTS.call(draw)
    cache, made = CallCache(max_entries=3 * one.entries), []

    def make():
        made.append(one)
        return [one]

    for key in (1, 2, 3, 1, 4, 1, 2):
        assert cache.calls(key, draw, make) == [one]
    assert len(made) == 5, "the fourth drops the one used longest ago, and that one the next"
