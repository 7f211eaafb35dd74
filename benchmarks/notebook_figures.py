"""Print the clauses with measured figures that the notebooks hold: `python benchmarks/notebook_figures.py`

A test compares these clauses with the notebooks. After a new measurement, copy the clauses that changed.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rlhf_course.widgets.numbers.conclusions import PhaseVariety, collapsed, likelihood_change

RESULTS = Path(__file__).resolve().parent / "results"
SEEDS = (1, 2, 3, 4, 5)
NUMBERS = ("none", "one", "two", "three", "four", "five")
Clauses = dict[str, list[str]]


def result(name: str) -> dict[str, Any]:
    """Return the stored result of a benchmark or of a run."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def to(numbers: list[float], form: str, word: str = "to") -> str:
    """Return the lowest and the highest number as "2 to 3", or one of them if they read the same."""
    low, high = (format(number, form).replace("-", "−") for number in (min(numbers), max(numbers)))
    return low if low == high else f"{low} {word} {high}"


class OverSeeds:
    """The figures of a group of the benchmark teaching.py, for all seeds."""

    def __init__(self, group: str) -> None:
        self.seeds = list(result("teaching")[group].values())

    def __call__(self, figure: str, form: str = ".2f", word: str = "to") -> str:
        """Return the range of a figure over the seeds."""
        return to([seed[figure] for seed in self.seeds], form, word)


def value_head_clauses() -> Clauses:
    """Return what the notebooks state about a new value head."""
    head = OverSeeds("fresh_head")
    share = head("share_of_the_last", ".0%")
    return {
        "01_environment": [
            f"with the embedded model and five new value heads, the last of 30 tokens held only {share} of the total "
            "size of a text's advantages.",
        ],
        "03_value_head": [
            f"for five new heads, the mean over a rollout was between {head('value_mean', word='and')}, and the "
            f"standard deviation was {head('value_deviation')}.",
        ],
        "05_advantages_and_memory": [
            f"for five new heads, the last advantage had a mean size of {head('size_of_the_last')}, each of the others "
            f"{head('size_before_the_last')}, and the last token held {share} of the sum.",
        ],
    }


def method_clauses() -> Clauses:
    """Return what the notebooks state about sampling, unused parameters and estimators of the KL."""
    top_k, estimators, unused = OverSeeds("top_k"), OverSeeds("estimators"), result("teaching")["unused_parameters"]
    assert not unused["with_gradient"] + unused["sharing_memory"] + unused["changed_by_adamw"]
    return {
        "04_sampling_and_rewards": [
            f"Sampling from the top 10 cuts away {top_k('cut', '.0%')} of the probability (five seeds).",
            "After the first learning phase of a run without KL penalty, the logarithm of the full-softmax ratio had a "
            f"mean size of {top_k('log_ratio_size')}, and that of the top-10 factor {top_k('log_mass_ratio_size')}: "
            "small, and not zero.",
        ],
        "07_optimizer": [
            f"In the embedded model these are {unused['unused']} tensors with {unused['unused_numbers']:,} numbers. "
            "The logits do not depend on them, they get no gradient, and they share no memory with the trained "
            "weights.",
        ],
        "10_bonus": [
            *estimator_rows(estimators),
            f"a policy whose KL is {estimators('kl')} nats a token",
            f"With one sampled token at each position, the cosines were {estimators('k1_loss_sampled')} for $k_1$ in "
            f"the loss, which is noise, and {estimators('k3_loss_sampled')} for $k_3$.",
        ],
    }


def estimator_rows(estimators: OverSeeds) -> list[str]:
    """Return the rows of notebook 10's table of the estimators' gradients."""

    def cell(name: str, place: str) -> str:
        norms = [seed[f"{name}_{place}_relative_norm"] for seed in estimators.seeds]
        return "zero" if max(norms) < 0.001 else estimators(f"{name}_{place}_expected", ".3f")

    return [f"| ${name[0]}_{name[1]}$ | {cell(name, 'loss')} | {cell(name, 'reward')} |" for name in ("k1", "k2", "k3")]


def runs(name: str) -> list[dict[str, Any]]:
    """Return the summaries of a run's seeds that are stored."""
    files = [RESULTS / f"{name}_seed{seed}.json" for seed in SEEDS]
    if name == "periods":
        files[0] = RESULTS / "periods.json"
    return [json.loads(file.read_text()) for file in files]


def _rewards(summaries: list[dict[str, Any]], phase: str) -> list[float]:
    return [summary[phase]["mean_reward"] for summary in summaries]


def collapse_clauses() -> list[str]:
    """Return what notebook 8 states about five runs of `collapse`."""
    summaries = runs("collapse")
    changes = Counter(
        likelihood_change(*(summary[phase]["ref_logprob_per_token"] for phase in ("first", "last")))
        for summary in summaries
    )
    counts = {
        change: NUMBERS[changes[change]] for change in ("likelier than", "about as likely as", "less likely than")
    }
    return [
        f"Five runs with the embedded model started at {to(_rewards(summaries, 'first'), '.1f')} and ended at "
        f"{to(_rewards(summaries, 'last'), '.0f')} periods a text.",
        "Under the reference, the last texts were "
        + ", ".join(f"{change} the first in {number}" for change, number in counts.items())
        + " of these five runs.",
    ]


def periods_clauses() -> list[str]:
    """Return what notebook 8 states about five runs of `periods`."""
    summaries = runs("periods")
    first, last = ([PhaseVariety(**summary[phase]["openings"]) for summary in summaries] for phase in ("first", "last"))
    grown = Counter(max(summary["strategies"].items(), key=_rise)[0] for summary in summaries)
    named = ", ".join(f"{name} in {NUMBERS[number]}" for name, number in grown.most_common())
    different = [to([variety.different for variety in phase], "d") for phase in (first, last)]
    share = to([variety.share for variety in last], ".0%")
    few = NUMBERS[sum(collapsed(variety) for variety in last)]
    return [
        f"Five runs with the embedded model started at {to(_rewards(summaries, 'first'), '.1f')} and ended at "
        f"{to(_rewards(summaries, 'last'), '.1f')} periods a text.",
        f"In these five runs, the strategy that grew most was {named}.",
        f"In five runs, the 128 texts of the first phase had {different[0]} different openings, those of the last "
        f"{different[1]}. The most frequent opening of the last phase started {share} of its texts. It started more "
        f"than half of them in {few} of the five runs.",
    ]


def _rise(strategy: tuple[str, dict[str, float]]) -> float:
    return strategy[1]["after"] - strategy[1]["before"]


def clauses() -> Clauses:
    """Return for each notebook the clauses that it holds."""
    return value_head_clauses() | method_clauses()


def main() -> None:
    """Print the clauses."""
    for stem, texts in clauses().items():
        print(stem, *texts, sep="\n   ")


if __name__ == "__main__":
    main()
