"""Pairs: how they are sampled, labelled, stored and encoded."""

import copy

import pytest
import torch

from rlhf_course.errors import CourseError
from rlhf_course.rl.batches import encode
from rlhf_course.rl.preferences.pairs import (
    Pair,
    completion_of,
    gold_of,
    labelled_pairs,
    read_pairs,
    sample_completions,
    with_end,
    write_pairs,
)

END = "<|endoftext|>"
PROMPT = "This movie was"
COMPLETIONS = [" good", " bad and boring", f" fine.{END}", " dull"]


def test_a_completion_ends_with_the_texts_first_end_of_text_token():
    assert with_end(f"{END}{PROMPT} fun.{END} And{END}", PROMPT) == f" fun.{END}"
    assert with_end(f"{PROMPT} fun. And", PROMPT) == " fun. And"
    assert completion_of(f"{END}{PROMPT} fun.{END} And", PROMPT) == " fun."
    with pytest.raises(CourseError, match="does not begin with the prompt"):
        completion_of("That film", PROMPT)


def test_completions_are_the_models_and_come_again_from_the_same_seed(tiny_bridge):
    sampled = sample_completions(tiny_bridge, PROMPT, 5, gen_len=6, seed=4)
    assert len(sampled) == 5 and sampled == sample_completions(tiny_bridge, PROMPT, 5, gen_len=6, seed=4)
    assert sampled != sample_completions(tiny_bridge, PROMPT, 5, gen_len=6, seed=5)


def test_a_labeller_without_error_chooses_the_larger_gold_reward():
    pairs = labelled_pairs(PROMPT, COMPLETIONS, temperature=1e-6)
    chosen, rejected = (gold_of(PROMPT, [getattr(pair, side) for pair in pairs]) for side in ("chosen", "rejected"))
    assert len(pairs) == 2 and bool((chosen > rejected).all())
    with pytest.raises(CourseError, match="even number"):
        labelled_pairs(PROMPT, COMPLETIONS[:3])


def test_a_file_of_pairs_gives_the_same_pairs_back(tmp_path):
    pairs = [Pair(PROMPT, " good\nand “long”", f" bad{END}"), Pair("x", "", " ")]
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs


@pytest.mark.parametrize(
    ("line", "message"),
    [("nonsense", "line 2: should be a JSON object"), ('{"prompt": "a", "chosen": "b"}', "line 2"), ("[1]", "line 2")],
)
def test_a_line_that_holds_no_pair_is_named(tmp_path, line, message):
    file = tmp_path / "pairs.jsonl"
    file.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n' + line + "\n")
    with pytest.raises(CourseError, match=message):
        read_pairs(file)
    with pytest.raises(CourseError, match="cannot be read"):
        read_pairs(tmp_path / "none.jsonl")


def test_masks_tell_prompt_completion_and_padding_apart_where_all_end_with_one_token(tiny_bridge):
    tokenizer = tiny_bridge.tokenizer
    batch = encode(tokenizer, [PROMPT] * 4, COMPLETIONS)
    begin = len(tokenizer.encode(END + PROMPT, add_special_tokens=False))
    for row, completion in enumerate(COMPLETIONS):
        length = int(batch.attention_mask[row].sum())
        ids = batch.input_ids[row, :length]
        assert tokenizer.decode(ids) == END + PROMPT + completion
        assert batch.attention_mask[row, :length].all() and not batch.attention_mask[row, length:].any()
        assert batch.completion_mask[row].nonzero().flatten().tolist() == list(range(begin, length))
        assert (batch.input_ids[row, length:] == tokenizer.eos_token_id).all()


def test_every_text_gets_one_end_of_text_token_where_a_reward_is_read_there(tiny_bridge):
    batch = encode(tiny_bridge.tokenizer, [PROMPT] * 4, COMPLETIONS, ended=True)
    last = batch.attention_mask.sum(1) - 1
    rows = torch.arange(4)
    assert (batch.input_ids[rows, last] == tiny_bridge.tokenizer.eos_token_id).all()
    assert (batch.input_ids[rows, last - 1] != tiny_bridge.tokenizer.eos_token_id).all()


@pytest.mark.parametrize(
    ("attribute", "meaning"), [("bos_token", "beginning-of-sequence"), ("eos_token", "end-of-text")]
)
def test_a_tokenizer_that_lacks_a_token_which_every_text_needs_is_named(tiny_bridge, attribute, meaning):
    tokenizer = copy.deepcopy(tiny_bridge.tokenizer)
    setattr(tokenizer, attribute, None)
    with pytest.raises(CourseError, match=rf"{tokenizer.name_or_path} has no {meaning} token.*set .* {attribute}"):
        encode(tokenizer, [PROMPT], [" good"])
