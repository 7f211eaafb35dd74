"""What the notebooks state about the method and about runs is what was measured, and what this run did."""

import re

import pytest
import torch

from rlhf_course import get_samples, load_model
from rlhf_course.files import load_module
from rlhf_course.notebook.messages import number_range
from rlhf_course.paths import REPOSITORY
from rlhf_course.widgets.numbers.conclusions import conclusions

FIGURES = load_module(REPOSITORY / "benchmarks/notebook_figures.py", "notebook_figures")
PREFERENCES = load_module(REPOSITORY / "benchmarks/preference_figures.py", "preference_figures")
POLICY_GRADIENTS = load_module(REPOSITORY / "benchmarks/policy_gradient_figures.py", "policy_gradient_figures")
PLAIN = "This is a good day. I like it"
DOTS = "This is" + "." * 20


SCRIPTS = {"notebook_figures": FIGURES, "preference_figures": PREFERENCES, "policy_gradient_figures": POLICY_GRADIENTS}


@pytest.mark.parametrize(
    ("script", "stem", "clauses"),
    [(name, *stated) for name, script in SCRIPTS.items() for stated in script.clauses().items()],
)
def test_the_figures_in_a_notebook_are_those_that_were_measured(script, stem, clauses):
    text = " ".join((REPOSITORY / f"solutions/notebooks/{stem}.md").read_text().split())
    missing = [clause for clause in clauses if clause not in text]
    assert not missing, f"{stem} lacks what was measured: {missing}; see benchmarks/{script}.py"


def bounds(pattern: str, stem: str) -> tuple[float, float]:
    """The range that a notebook's text states, as two numbers of which percentages are shares."""
    text = " ".join((REPOSITORY / f"solutions/notebooks/{stem}.md").read_text().split())
    low, high = re.search(pattern.replace("RANGE", r"([\d.]+%?) to ([\d.]+%?)"), text).groups()
    return tuple(float(number.rstrip("%")) / (100 if number.endswith("%") else 1) for number in (low, high))


@pytest.mark.parametrize(
    ("stem", "pattern", "figure"),
    [
        ("01_environment", "last of 30 tokens held only about RANGE of", "share_of_the_last"),
        ("05_advantages_and_memory", "last token held about RANGE of", "share_of_the_last"),
        ("05_advantages_and_memory", "last advantage had a mean size of about RANGE,", "size_of_the_last"),
        ("05_advantages_and_memory", "each of the others about RANGE,", "size_before_the_last"),
    ],
)
def test_what_the_cell_about_a_new_head_printed_lies_in_the_range_of_the_text(stem, pattern, figure):
    low, high = bounds(pattern, stem)
    assert low <= round(FIGURES.recorded_advantages()[figure], 2) <= high


def test_what_the_cell_about_the_top_10_measures_lies_in_the_range_of_the_text():
    source = (REPOSITORY / "solutions/notebooks/04_sampling_and_rewards.md").read_text()
    (cell,) = (cell for cell in re.findall(r"```python\n(.*?)```", source, re.DOTALL) if 'compare("top10_mass"' in cell)
    measured = {}
    names = {
        "torch": torch,
        "get_samples": get_samples,
        "model": load_model("embedded"),
        "compare": measured.__setitem__,
    }
    exec(cell, names)
    low, high = bounds("top 10 cuts away about RANGE of", "04_sampling_and_rewards")
    assert low <= round(1 - measured["top10_mass"], 2) <= high


def different_texts(number: int) -> list[str]:
    return [f"This is number{index} of{index} many days" for index in range(number)]


def sentences(
    first: list[str], last: list[str], rewards=(1.0, 3.0), kls=(0.0, 0.1), logprobs=(-50.0, -50.0)
) -> dict[str, str]:
    """The sentences about a made-up run of two phases, by their first word."""
    samples = [
        {"phase": phase, "text": text, "reward": rewards[phase], "ref_logprob": logprobs[phase]}
        for phase, texts in enumerate((first, last))
        for text in texts
    ]
    rows = [{"mean_reward": reward, "kl": kl} for reward, kl in zip(rewards, kls, strict=True)]
    return {sentence.split()[0].rstrip(":"): sentence for sentence in conclusions(rows, samples, "This is")}


@pytest.mark.parametrize(
    ("rewards", "change"), [((1.0, 3.0), "rose"), ((3.0, 1.0), "fell"), ((3.0, 3.1), "hardly changed")]
)
def test_the_reward_of_a_run_rose_fell_or_hardly_changed(rewards, change):
    sentence = sentences([PLAIN], [PLAIN], rewards=rewards)["Reward"]
    assert f"the mean {change}, from {rewards[0]:.2f} in the first phase to {rewards[1]:.2f} in the last" in sentence
    assert ("3.0 times its first value" in sentence) == (change == "rose")


def test_a_run_whose_texts_all_start_alike_collapsed():
    run = sentences(different_texts(20), ["This is not my day"] * 20)
    sentence = run["Openings"]
    assert "collapsed to few openings: 1 different openings in 20 texts, at first 20" in sentence
    assert "'not my', starts 100% of them" in sentence
    assert "triples of words fell, from 1.00 to 0.05" in run["Diversity"]


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [(20, 20, "kept its openings"), (20, 10, "lost openings"), (10, 20, "gained openings")],
)
def test_a_run_whose_texts_start_in_different_ways_did_not_collapse(first, last, verdict):
    texts = [different_texts(number) * (20 // number) for number in (first, last)]
    assert f"this run {verdict}: {last} different openings" in sentences(*texts)["Openings"]


def test_rows_of_dots_that_start_differently_are_not_praised_for_their_openings():
    last = [f'This is not my{"." * index}"{"." * (40 - index)}' for index in range(1, 21)]
    sentence = sentences(different_texts(10) * 2, last)["Openings"]
    assert "may start differently, but they repeat the same few words" in sentence and "gained" not in sentence
    assert "20 different openings in 20 texts" in sentence


@pytest.mark.parametrize(
    ("logprobs", "change"),
    [((-50.0, -80.0), "less likely than"), ((-50.0, -30.0), "likelier than"), ((-50.0, -52.0), "about as likely as")],
)
def test_rows_of_dots_may_be_less_likely_likelier_or_as_likely(logprobs, change):
    sentence = sentences([PLAIN], [DOTS], logprobs=logprobs)["Likelihood"]
    assert f"the last texts are {change} the first" in sentence and f"{logprobs[1]:.0f}" in sentence


def test_the_strategies_that_grew_are_named_and_the_largest_kl_is_shown():
    grown = sentences([PLAIN], [DOTS], kls=(0.4, 0.1))
    assert "rows of dots (0.00 to 1.00 uses a text)" in grown["Strategies"]
    assert "ended at 0.10 nats a token; its largest was 0.40" in grown["KL"]
    assert "none that is counted grew" in sentences([DOTS], [DOTS])["Strategies"]


@pytest.mark.parametrize(
    ("numbers", "form", "text"),
    [([-0.04, 2.3], ".1f", "0.0 to 2.3"), ([-0.06, 2.3], ".1f", "−0.1 to 2.3"), ([0.501, 0.499], ".0%", "50%")],
)
def test_a_range_has_a_minus_sign_only_where_its_number_is_below_zero(numbers, form, text):
    assert number_range(numbers, form) == text
