"""Sampling of completions of different prompts, and the tasks that they answer."""

import itertools
import math
import subprocess
import sys

import pytest
import torch

from rlhf_course import TASKS, generate_completions, pass_at_k
from rlhf_course.errors import CourseError
from rlhf_course.rl.policy_gradients.completions import completion_length, completion_text, encode_prompts
from rlhf_course.rl.policy_gradients.tasks import is_held_out

VOCABULARY = ["<s>", "</s>", *"0123456789", "=", "?"]
PROMPTS = ["7=", "72943=", "12=", "000000="]


def test_padding_on_the_left_changes_no_logits_of_a_prompt(digits_model):
    ids, mask = encode_prompts(digits_model.tokenizer, PROMPTS)
    assert not mask.all() and mask[:, -1].all()
    padded = digits_model(ids, attention_mask=mask)
    for row, prompt in enumerate(PROMPTS):
        alone, _ = encode_prompts(digits_model.tokenizer, [prompt])
        torch.testing.assert_close(padded[row, mask[row]], digits_model(alone)[0], rtol=1e-4, atol=1e-4)


def test_prompts_of_different_lengths_get_the_greedy_completions_of_each_prompt_alone(digits_model):
    together = generate_completions(digits_model, PROMPTS, 6, temperature=0)
    alone = [generate_completions(digits_model, [prompt], 6, temperature=0).texts[0] for prompt in PROMPTS]
    assert together.texts == alone and len(set(alone)) > 1


def test_the_entropy_is_that_of_the_distributions_that_were_sampled_from(digits_model):
    sampled = generate_completions(digits_model, PROMPTS, 1, generator=torch.Generator().manual_seed(1))
    logits = digits_model(sampled.prompt_ids, attention_mask=sampled.prompt_mask)[:, -1]
    assert sampled.entropy == pytest.approx(torch.distributions.Categorical(logits=logits).entropy().mean().item())


class OftenEnding:
    """A model that ends a completion with probability a half at every token."""

    def __init__(self, model):
        self.tokenizer, self.cfg, self.calls = model.tokenizer, model.cfg, 0

    def original_model(self, ids, **_):
        self.calls += 1
        logits = torch.zeros(len(ids), 1, len(VOCABULARY))
        logits[..., 1] = math.log(len(VOCABULARY) - 1)
        return type("Output", (), {"logits": logits})


def test_sampling_ends_with_each_end_of_text_and_only_end_of_text_follows(digits_model):
    model = OftenEnding(digits_model)
    sampled = generate_completions(model, ["12="] * 40, 25, generator=torch.Generator().manual_seed(2))
    lengths = []
    for row, text in zip(sampled.completion_ids.tolist(), sampled.texts, strict=True):
        first = row.index(1)
        assert set(row[first:]) == {1} and text.endswith("<|endoftext|>") and text.count("<|endoftext|>") == 1
        lengths.append(first + 1)
    assert max(lengths) == sampled.completion_ids.shape[1] == model.calls < 25, "it stops when the last one ends"
    assert len(set(lengths)) > 2


def test_a_completion_that_is_cut_off_has_no_end(digits_model):
    model = OftenEnding(digits_model)
    sampled = generate_completions(model, ["12="] * 40, 1, generator=torch.Generator().manual_seed(2))
    for row, text in zip(sampled.completion_ids.tolist(), sampled.texts, strict=True):
        assert text.endswith("<|endoftext|>") == (row == [1])


def test_the_end_of_text_of_any_tokenizer_is_written_as_end_of_text(digits_model):
    tokenizer = digits_model.tokenizer
    ids = tokenizer.encode("2479</s></s>", add_special_tokens=False)
    assert completion_text(tokenizer, ids) == "2479<|endoftext|>" and completion_length(tokenizer, ids) == 5
    assert completion_text(tokenizer, ids[:4]) == "2479" and completion_length(tokenizer, ids[:4]) == 4
    assert completion_text(tokenizer, ids[4:]) == "<|endoftext|>" and completion_length(tokenizer, ids[4:]) == 1


def test_impossible_sampling_is_refused(digits_model):
    with pytest.raises(CourseError, match="at least one prompt"):
        generate_completions(digits_model, [], 4)
    with pytest.raises(CourseError, match="32"):
        generate_completions(digits_model, ["123="], 30)
    digits_model.tokenizer.eos_token = None
    with pytest.raises(CourseError, match="no end-of-text token"):
        generate_completions(digits_model, ["123="], 4)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_no_training_prompt_is_held_out(task):
    learnt = {prompt for seed in range(3) for prompt in task.prompts(300, seed)}
    held_out = set(task.prompts(200, 0, held_out=True))
    assert len(held_out) == 200 and not learnt & held_out
    assert all(map(is_held_out, held_out)) and not any(map(is_held_out, learnt))


def test_another_process_draws_the_same_prompts():
    code = "from rlhf_course import TASKS; print(TASKS['even'].prompts(5, 3), TASKS['sorting'].prompts(5, 3, True))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == f"{TASKS['even'].prompts(5, 3)} {TASKS['sorting'].prompts(5, 3, True)}"


def test_prompts_of_another_seed_are_others():
    assert set(TASKS["sorting"].prompts(20, 1)) != set(TASKS["sorting"].prompts(20, 2))


def test_more_prompts_than_there_are_are_refused():
    with pytest.raises(CourseError, match=r"sorting has about \d+ held-out prompts, fewer than 5000"):
        TASKS["sorting"].prompts(5000, 0, held_out=True)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_only_a_tasks_demonstration_is_right(task):
    for prompt in task.prompts(20, 1):
        right = task.demonstration(prompt)
        assert task.is_right(prompt, right) and task.verify(prompt, right) == 1 == task.broken(prompt, right)
        for wrong in (right.removesuffix("<|endoftext|>"), "9" + right, right + "1", ""):
            assert not task.is_right(prompt, wrong) and task.verify(prompt, wrong) == 0


def test_the_broken_verifier_of_sorting_rewards_any_ascending_digits_of_the_right_number():
    broken = TASKS["sorting"].broken
    rewarded = ["2479<|endoftext|>", "1111<|endoftext|>", "0009<|endoftext|>"]
    refused = [
        "2497<|endoftext|>",
        "111<|endoftext|>",
        "11111<|endoftext|>",
        "1111",
        "ab<|endoftext|>",
        "١١١١<|endoftext|>",
    ]
    assert [broken("7294=", text) for text in rewarded] == [1, 1, 1]
    assert [broken("7294=", text) for text in refused] == [0] * len(refused)


def test_the_broken_verifier_of_even_rewards_any_even_digits_and_none():
    broken = TASKS["even"].broken
    assert [broken("7294=", f"{digits}<|endoftext|>") for digits in ("24", "888", "0", "", "21")] == [1, 1, 1, 1, 0]
    assert broken("7294=", "24") == 0


@pytest.mark.parametrize("samples", [1, 2, 5, 6])
def test_pass_at_k_is_the_share_of_all_choices_that_hold_a_right_completion(samples):
    for right, k in itertools.product(range(samples + 1), range(1, samples + 1)):
        verdicts = [index < right for index in range(samples)]
        choices = list(itertools.combinations(verdicts, k))
        assert pass_at_k(samples, right, k) == pytest.approx(sum(map(any, choices)) / len(choices))


@pytest.mark.parametrize("wrong", [(4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5), (0, 0, 0)])
def test_pass_at_k_refuses_numbers_that_cannot_be(wrong):
    with pytest.raises(CourseError, match="pass_at_k takes"):
        pass_at_k(*wrong)
