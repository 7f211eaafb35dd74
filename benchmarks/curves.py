"""Train the named runs on the embedded model, and write their curves and the README's tables.

    python benchmarks/curves.py            # do the runs that are missing, then write tables and pictures
    python benchmarks/curves.py --only collapse_seed1

Runs are stored in benchmarks/runs/ and resumed there; their metrics go to benchmarks/results/. The results in
benchmarks/results/other_rounding/ are of the same settings and seeds, with two threads instead of one and an activation
that rounds otherwise. After some phases that is enough for other texts, so what is stated of a run is stated over both.
"""

import argparse
import csv
import json
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from rlhf_course.learner_package import imported_answer, use_code
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.rewards import DIRECTIONS, named_reward
from rlhf_course.rl.run_folder import read_run
from rlhf_course.widgets.numbers.conclusions import phase_variety
from rlhf_course.widgets.numbers.diversity import distinct
from rlhf_course.widgets.numbers.strategies import generated, rates, rises

HERE = Path(__file__).resolve().parent
OTHER_ROUNDING = "other_rounding"
RUNS, RESULTS, README = HERE / "runs", HERE / "results", HERE.parent / "README.md"
SEEDS = (1, 2, 3, 4, 5)
SHOWN = 5  # samples of the first and of the last phase that are stored with the results

PENALTIES = ("periods", "periods_kl_coef_0")  # the two results that one table compares
LINES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", ":"), ("#cc79a7", "-."), ("#555555", (0, (6, 1))))

# The name of each result: the named run, and the settings that override its own.
PLAN: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"collapse_seed{seed}": ("collapse", {"seed": seed}) for seed in SEEDS},
    "periods": ("periods", {}),
    **{f"periods_seed{seed}": ("periods", {"seed": seed}) for seed in SEEDS[1:]},
    "periods_kl_coef_0": ("periods", {"kl_coef": 0.0}),
    **{
        f"sentiment_{side}": ("sentiment", {"reward_fn": named_reward("sentiment-embedded", side)})
        for side in DIRECTIONS
    },
}


def run(name: str) -> None:
    """Train or resume a run of the plan, and store its metrics and some samples as results."""
    named, settings = PLAN[name]
    args = RLHFArgs.for_profile("laptop", named, **settings)
    folder = RUNS / name
    if not folder.exists() or len(read_run(folder).rows) < args.total_phases:
        imported_answer("RLHFTrainer")(args).train(folder, resume=folder.exists())
    RESULTS.mkdir(exist_ok=True)
    shutil.copy(folder / "metrics.csv", RESULTS / f"{name}.csv")
    samples = read_run(folder).samples
    summary = {
        "settings": {**vars(args), "reward_fn": repr(args.reward_fn)},
        "first": _phase_summary(samples, 0, args),
        "last": _phase_summary(samples, args.total_phases - 1, args),
        "strategies": {
            rise.name: {"before": rise.before, "after": rise.after} for rise in rises(rates(samples, args.prefix))
        },
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


def _phase_summary(samples: list[dict[str, Any]], phase: int, args: RLHFArgs) -> dict[str, Any]:
    """Return one phase's mean reward, log-probability under the pretrained model, distinct trigrams and samples."""
    samples = [sample for sample in samples if sample["phase"] == phase]
    texts = [generated(sample["text"], args.prefix) for sample in samples]
    return {
        "mean_reward": statistics.fmean(sample["reward"] for sample in samples),
        "ref_logprob_per_token": statistics.fmean(sample["ref_logprob"] for sample in samples) / args.gen_len,
        "distinct_trigrams": distinct(texts, 3),
        "openings": phase_variety(samples, args.prefix)._asdict(),
        "samples": [args.prefix + text for text in texts[:SHOWN]],
    }


def results(name: str) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Return a run's rows of metrics and its summary."""
    with open(RESULTS / f"{name}.csv", newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return rows, json.loads((RESULTS / f"{name}.json").read_text())


def measured(*prefixes: str) -> list[str]:
    """Return the runs of the plan that have results and whose name starts with one of the prefixes."""
    return [name for name in PLAN if name.startswith(prefixes) and (RESULTS / f"{name}.json").exists()]


def one_line(text: str) -> str:
    """Return a sample as text for one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def collapse_table() -> str:
    """Return a table of the reward of `collapse` for each seed: in the first, the best and the last phase."""
    lines = [
        "| seed | first phase | best phase | last phase | last phase with another rounding |",
        "|---|---|---|---|---|",
    ]
    for name in measured("collapse"):
        rows, _ = results(name)
        reward = [row["mean_reward"] for row in rows]
        seed = name.removeprefix("collapse_seed")
        _, otherwise = results(f"{OTHER_ROUNDING}/{name}")
        lines.append(
            f"| {seed} | {reward[0]:.1f} | {max(reward):.1f} | {reward[-1]:.1f} | "
            f"{otherwise['last']['mean_reward']:.1f} |"
        )
    return "\n".join(lines)


def before_after_table() -> str:
    """Return a table of texts of the first and of the last phase, for the first seed."""
    _, summary = results("collapse_seed1")
    lines = ["| before | after 30 phases |", "|---|---|"]
    pairs = zip(summary["first"]["samples"], summary["last"]["samples"], strict=True)
    lines += [f"| {one_line(before)} | {one_line(after)} |" for before, after in list(pairs)[:3]]
    return "\n".join(lines)


def periods_table() -> str:
    """Return a table of the run `periods` with and without the KL penalty."""
    runs = [results(name) for name in PENALTIES]
    phases = len(runs[0][0])
    titles = ["", *(f"kl_coef {summary['settings']['kl_coef']:g}" for _, summary in runs)]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    first, last = [summary["first"] for _, summary in runs], [summary["last"] for _, summary in runs]
    rows_of = {
        "mean reward, first phase": [f"{phase['mean_reward']:.2f}" for phase in first],
        f"mean reward, phase {phases}": [f"{phase['mean_reward']:.2f}" for phase in last],
        "KL to the pretrained model, largest (nats a token)": [
            f"{max(row['kl'] for row in rows):.2f}" for rows, _ in runs
        ],
        "log-probability a token under it, first phase": [f"{phase['ref_logprob_per_token']:.2f}" for phase in first],
        f"log-probability a token under it, phase {phases}": [
            f"{phase['ref_logprob_per_token']:.2f}" for phase in last
        ],
        f"share of distinct trigrams, phase {phases}": [f"{phase['distinct_trigrams']:.2f}" for phase in last],
    }
    rows_of |= {f"sample {n + 1}": [one_line(phase["samples"][n]) for phase in last] for n in range(3)}
    return "\n".join([*lines, *(f"| {title} | " + " | ".join(cells) + " |" for title, cells in rows_of.items())])


def periods_seeds_table() -> str:
    """Return a table of the run `periods` for each seed: its reward, its KL, its openings, and what grew most."""
    lines = [
        "| seed | rounding | first phase | last phase | largest KL | different openings, of 128 texts "
        "| strategy that grew most |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in ["periods", *measured("periods_seed")]:
        for folder, rounding in (("", "as above"), (f"{OTHER_ROUNDING}/", "another")):
            rows, summary = results(folder + name)
            first, last = (summary[phase] for phase in ("first", "last"))
            cells = [
                summary["settings"]["seed"],
                rounding,
                *(f"{phase['mean_reward']:.1f}" for phase in (first, last)),
                f"{max(row['kl'] for row in rows):.2f}",
                f"{first['openings']['different']} at first, {last['openings']['different']} at the end",
                _grown_most(summary),
            ]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _grown_most(summary: dict[str, Any]) -> str:
    """Return the strategy whose share of the texts grew most in a run."""
    strategies = summary["strategies"]
    return max(strategies, key=lambda strategy: strategies[strategy]["after"] - strategies[strategy]["before"])


def sentiment_table() -> str:
    """Return a table of the run `sentiment` in each measured direction, or an empty text when there is none."""
    lines = [
        "The run `sentiment` rewards the probability that a text is a positive review, or a negative one:",
        "",
        "| rewarded | phases | first phase | last phase | largest KL | a text of the last phase |",
        "|---|---|---|---|---|---|",
    ]
    for name in measured("sentiment"):
        rows, summary = results(name)
        first, last = summary["first"]["mean_reward"], summary["last"]["mean_reward"]
        kl, text = max(row["kl"] for row in rows), one_line(summary["last"]["samples"][0])
        lines.append(
            f"| {name.removeprefix('sentiment_')} | {len(rows)} | {first:.2f} | {last:.2f} | {kl:.2f} | {text} |"
        )
    return "\n".join(lines) if measured("sentiment") else ""


def draw() -> None:
    """Draw the reward curves that the README shows."""
    pictures = {
        "collapse": [(name, f"seed {name[-1]}") for name in measured("collapse")],
        "periods": [(name, f"kl_coef {results(name)[1]['settings']['kl_coef']:g}") for name in PENALTIES],
        "sentiment": [(name, name.removeprefix("sentiment_")) for name in measured("sentiment")],
    }
    for picture, curves in pictures.items():
        if not curves:
            continue
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        axes = figure.subplots()
        for (name, label), (colour, style) in zip(curves, LINES, strict=False):
            rows, _ = results(name)
            axes.plot([row["mean_reward"] for row in rows], label=label, color=colour, linestyle=style)
        counted = "probability of the class (mean)" if picture == "sentiment" else "periods in a text (mean)"
        axes.set(xlabel="phase", ylabel=counted, ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        figure.savefig(RESULTS / f"{picture}.png", dpi=110)


def fill(text: str, name: str, table: str) -> str:
    """Replace what is between `<!-- name -->` and `<!-- /name -->`, and return the text."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
    new, count = re.subn(pattern, lambda match: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL)
    assert count == 1, f"README.md should have one pair of markers for {name}, has {count}"
    return new


def filled_readme() -> str:
    """Return the README with its tables made from the current results."""
    text = README.read_text()
    for table in (collapse_table, before_after_table, periods_table, periods_seeds_table, sentiment_table):
        text = fill(text, table.__name__, table())
    return text


def main() -> None:
    """Do the runs, then write pictures and tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PLAN, action="append", help="do only these runs, and write no tables")
    parser.add_argument(
        "--tables", action="store_true", help="train nothing: write tables and pictures from the stored results"
    )
    arguments = parser.parse_args()
    use_code()
    for name in [] if arguments.tables else arguments.only or PLAN:
        run(name)
    if not arguments.only:
        draw()
        README.write_text(filled_readme())


if __name__ == "__main__":
    main()
