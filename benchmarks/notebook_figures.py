"""Print the clauses with measured figures that the notebooks hold: `python benchmarks/notebook_figures.py`

A test compares these clauses with the notebooks. After a new measurement, copy the clauses that changed.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from rlhf_course.notebook.messages import NUMBERS, join_names
from rlhf_course.notebook.messages import number_range as to
from rlhf_course.widgets.numbers.conclusions import PhaseVariety, collapsed, likelihood_change

RESULTS = Path(__file__).resolve().parent / "results"
NOTEBOOKS = Path(__file__).resolve().parents[1] / "solutions/notebooks"
LIKELIHOOD_CHANGES = {
    "likelier than": "likelier",
    "about as likely as": "about as likely",
    "less likely than": "less likely",
}
Clauses = dict[str, list[str]]


def result(name: str) -> dict[str, Any]:
    """Return the stored result of a benchmark or of a run."""
    return json.loads((RESULTS / f"{name}.json").read_text())


class OverSeeds:
    """The figures of a group of the benchmark teaching.py, for all seeds, and of a notebook's cell if it is given."""

    def __init__(self, group: str, *cells: dict[str, float]) -> None:
        self.seeds = list(result("teaching")[group].values())
        self.cells = cells

    def __call__(self, figure: str, form: str = ".2f", word: str = "to") -> str:
        """Return the range of a figure over the seeds and the cell."""
        return to([figures[figure] for figures in (*self.seeds, *self.cells)], form, word)


def recorded_advantages() -> dict[str, float]:
    """Return what the cell of notebook 5 printed about a new head, by the names in the benchmark."""
    text = (NOTEBOOKS / "outputs/fresh_advantages.txt").read_text()
    patterns = {
        "size_before_the_last": r"before the last token: ([\d.]+),",
        "size_of_the_last": r"of the last token: ([\d.]+)\n",
        "share_of_the_last": r"measured: ([\d.]+)",
    }
    return {name: float(re.findall(pattern, text)[0]) for name, pattern in patterns.items()}


def value_head_clauses() -> Clauses:
    """Return what the notebooks state about a new value head; the ranges hold what the cell under the text printed."""
    head = OverSeeds("fresh_head")
    # No range of the text may leave out what the cell beside it prints.
    with_cell = OverSeeds("fresh_head", recorded_advantages())
    share = with_cell("share_of_the_last", ".0%")
    return {
        "01_environment": [
            f"with the embedded model and five new value heads, the last of 30 tokens held only about {share} of "
            "the total size of a text's advantages.",
        ],
        "03_value_head": [
            f"for five new heads, the mean over a rollout was between {head('value_mean', word='and')}, and the "
            f"standard deviation was {head('value_deviation')}.",
        ],
        "05_advantages_and_memory": [
            "here and with five new heads, the last advantage had a mean size of about "
            f"{with_cell('size_of_the_last')}, each of the others about {with_cell('size_before_the_last')}, and the "
            f"last token held about {share} of the sum.",
        ],
    }


def method_clauses() -> Clauses:
    """Return what the notebooks state about sampling, unused parameters and estimators of the KL."""
    top_k, estimators, unused = OverSeeds("top_k"), OverSeeds("estimators"), result("teaching")["unused_parameters"]
    assert not unused["with_gradient"] + unused["sharing_memory"] + unused["changed_by_adamw"]
    return {
        "04_sampling_and_rewards": [
            f"Sampling from the top 10 cuts away about {top_k('cut', '.0%')} of the probability (five seeds).",
            "After the first learning phase of a run without KL penalty, the logarithm of the full-softmax ratio had a "
            f"mean size of {top_k('log_ratio_size')}, and that of the top-10 factor {top_k('log_mass_ratio_size')}: "
            "small, and not zero.",
        ],
        "07_optimizer": [
            f"In the embedded model these are {unused['unused']} tensors with {unused['unused_numbers']:,} numbers. "
            "The logits do not depend on them, they get no gradient, and they share no memory with the trained "
            "weights.",
        ],
        "14_critics": [
            *estimator_rows(estimators),
            f"a policy whose KL is {estimators('kl')} nats a token",
            f"The norm of $k_3$'s gradient in the reward was {estimators('k3_reward_relative_norm')} of the exact "
            "one's.",
            f"With one sampled token at each position, the cosines were {estimators('k1_loss_sampled')} for $k_1$ in "
            f"the loss, which is noise, and {estimators('k3_loss_sampled')} for $k_3$ in the loss.",
        ],
    }


def estimator_rows(estimators: OverSeeds) -> list[str]:
    """Return the rows of notebook 14's table of the estimators' gradients."""

    def cell(name: str, place: str) -> str:
        norms = [seed[f"{name}_{place}_relative_norm"] for seed in estimators.seeds]
        return "zero" if max(norms) < 0.001 else estimators(f"{name}_{place}_expected", ".3f")

    return [f"| ${name[0]}_{name[1]}$ | {cell(name, 'loss')} | {cell(name, 'reward')} |" for name in ("k1", "k2", "k3")]


def runs(name: str) -> list[dict[str, Any]]:
    """Return the summaries of a run's seeds that are stored, of each rounding that was measured."""
    files: list[Path] = []
    for folder in (RESULTS, RESULTS / "other_rounding"):
        files += [folder / "periods.json"] if name == "periods" else []
        files += sorted(folder.glob(f"{name}_seed*.json"))
    return [json.loads(file.read_text()) for file in files]


def _reward_clause(summaries: list[dict[str, Any]], form: str) -> str:
    """Return what the mean reward of some runs was at first and at the end."""
    first, last = ([summary[phase]["mean_reward"] for summary in summaries] for phase in ("first", "last"))
    return (
        f"{NUMBERS[len(summaries)].capitalize()} runs with the embedded model, two for each of five seeds, started at "
        f"{to(first, '.1f')} and ended at {to(last, form)} periods a text."
    )


def collapse_clauses() -> list[str]:
    """Return what notebook 8 states about the measured runs of `collapse`."""
    summaries = runs("collapse")
    changes = Counter(
        likelihood_change(*(summary[phase]["ref_logprob_per_token"] for phase in ("first", "last")))
        for summary in summaries
    )
    counts = [f"{words} in {NUMBERS[changes[change]]}" for change, words in LIKELIHOOD_CHANGES.items()]
    return [
        _reward_clause(summaries, ".0f"),
        f"Under the reference, and compared with the first texts, the last ones were {join_names(counts)} of these "
        f"{NUMBERS[len(summaries)]} runs.",
    ]


def periods_clauses() -> list[str]:
    """Return what notebook 8 states about the measured runs of `periods`."""
    summaries = runs("periods")
    number = NUMBERS[len(summaries)]
    grown = Counter(max(summary["strategies"].items(), key=_rise)[0] for summary in summaries)
    named = join_names([f"{name} in {NUMBERS[count]}" for name, count in grown.most_common()])
    trigrams, openings = (
        [[summary[phase][figure] for summary in summaries] for phase in ("first", "last")]
        for figure in ("distinct_trigrams", "openings")
    )
    first, last = ([PhaseVariety(**opening) for opening in phase] for phase in openings)
    return [
        _reward_clause(summaries, ".1f"),
        f"In these {number} runs, the strategy that grew most was {named}.",
        f"In the {number} runs, the share of distinct triples of words was {to(trigrams[0], '.2f')} in the first phase "
        f"and {to(trigrams[1], '.2f')} in the last.",
        f"The 128 texts of the first phase had {to([variety.different for variety in first], 'd')} different openings, "
        f"those of the last {to([variety.different for variety in last], 'd')}.",
        f"The most frequent opening of the last phase started {to([variety.share for variety in last], '.0%')} of its "
        f"texts, and more than half of them in {NUMBERS[sum(map(collapsed, last))]} of the {number} runs.",
    ]


def _rise(strategy: tuple[str, dict[str, float]]) -> float:
    return strategy[1]["after"] - strategy[1]["before"]


def clauses() -> Clauses:
    """Return for each notebook the clauses that it holds."""
    return value_head_clauses() | method_clauses() | {"08_training": collapse_clauses() + periods_clauses()}


def main() -> None:
    """Print the clauses."""
    for stem, texts in clauses().items():
        print(stem, *texts, sep="\n   ")


if __name__ == "__main__":
    main()
