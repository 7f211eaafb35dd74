"""The judge: sentiment less repetition, and a labeller whose errors follow Bradley and Terry."""

import pytest
import torch

from rlhf_course.errors import CourseError
from rlhf_course.judges import distinct_share, gold_rewards, sentiment_logits, simulated_preferences

PROMPT = "This movie was really"


def test_the_judge_prefers_praise_to_blame():
    good, bad = gold_rewards(PROMPT, [" wonderful, and I loved every minute.", " terrible, a waste of two hours."])
    assert good > 2 > -2 > bad


def test_repeated_words_cost_ten_times_what_lacks_to_the_least_share_of_distinct_ones():
    text = " great great great fun"
    assert distinct_share(text) == 0.5
    assert float(gold_rewards(PROMPT, [text])) == pytest.approx(float(sentiment_logits(PROMPT, [text])) - 3.5, abs=1e-5)
    assert float(gold_rewards(PROMPT, [" great fun"])) == float(sentiment_logits(PROMPT, [" great fun"]))


@pytest.mark.parametrize(("text", "share"), [("", 1), (" ... !", 1), ("Good, GOOD good.", 1 / 3), ("don't don’t", 1)])
def test_words_are_compared_in_lower_case_and_without_punctuation(text, share):
    assert distinct_share(text) == pytest.approx(share)


def test_the_labeller_errs_as_often_as_the_sigmoid_says():
    generator = torch.Generator().manual_seed(3)
    first, second = torch.full((20_000,), 1.0), torch.zeros(20_000)
    for temperature in (0.5, 2.0):
        share = simulated_preferences(first, second, temperature, generator).float().mean()
        assert float(share) == pytest.approx(float(torch.tensor(1 / temperature).sigmoid()), abs=0.02)
    with pytest.raises(CourseError, match="temperature takes a number above 0"):
        simulated_preferences(first, second, 0)
