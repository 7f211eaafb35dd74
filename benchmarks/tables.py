"""Write the tables of docs/performance.md from benchmarks/results: `python benchmarks/tables.py`

A file of results holds the figures of each processor under its name, as `measurement` of harness.py writes them. A
table of them is made by `by_processor`, and a figure in the text by `range_over_processors`. To add a table, write a
function that returns it, name it in `TABLES`, and put a pair of markers with its name on the page.
"""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results", HERE.parent / "docs" / "performance.md"
VARIANTS = ("plain loop", "answers", "lean")


def measured(name: str) -> dict[str, dict[str, Any]]:
    """Return a benchmark's results by processor."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def by_processor(name: str, head: list[str], rows_of: Callable[[dict[str, Any]], list[list[str]]]) -> str:
    """Return a table with the rows of each processor that a benchmark was run on; the first column names it.

    Args:
        name: the file of results, without its ending.
        head: titles of the columns after the first one.
        rows_of: returns the rows of one processor's results, without the first column.
    """
    rows = []
    for processor, results in measured(name).items():
        rows += [["" if index else processor, *row] for index, row in enumerate(rows_of(results))]
    return table(["processor", *head], rows)


def range_over_processors(name: str, figure: Callable[[dict[str, Any]], float], digits: int = 1) -> str:
    """Return the lowest and the highest of a figure over the processors that a benchmark was run on, as text."""
    values = [figure(results) for results in measured(name).values()]
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def shown(numbers: dict[str, Any], digits: int = 2) -> str:
    """Return a median with lowest and highest as text."""
    return f"{numbers['median']:.{digits}f} ({numbers['low']:.{digits}f} to {numbers['high']:.{digits}f})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def phase_table() -> str:
    """Return the times of a phase and of its two parts, and their speed relative to the plain loop."""
    return by_processor("phase_embedded", PHASE_HEAD, phase_rows)


def large_phase_table() -> str:
    """Return the same of a model of GPT-2 small's shape."""
    return by_processor("phase_gpt2_shape", PHASE_HEAD, phase_rows)


PHASE_HEAD = ["", "phase", "rollout", "learning", "times as fast", "by the clock", "of the matmul rate"]


def phase_rows(results: dict[str, Any]) -> list[list[str]]:
    """Return the rows of one processor."""
    rows = []
    for variant in VARIANTS:
        parts = [shown(results[part][variant]["cpu_seconds"]) for part in ("phase", "rollout", "learning")]
        faster = [
            f"{results[key][variant]:.2f}" for key in ("times_as_fast_as_the_plain_loop", "times_as_fast_by_the_clock")
        ]
        rows.append([variant, *parts, *faster, f"{100 * results['share_of_the_matmul_rate'][variant]:.0f}%"])
    return rows


def memory_table() -> str:
    """Return the peak memory of a phase on top of the loaded models."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        return [
            [
                model,
                variant,
                shown(results[model]["megabytes_over_the_models"][variant], 0),
                f"{100 * results[model]['share_of_the_plain_loop'][variant]:.0f}%",
            ]
            for model in ("embedded", "GPT-2's vocabulary")
            for variant in VARIANTS
        ]

    return by_processor("memory", ["model", "", "MB", "of the plain loop"], rows_of)


def generation_table() -> str:
    """Return the time of sampling, by the course and by the libraries."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        return [
            [name, shown(times["cpu_seconds"]), f"{results['times_the_cpu_of_get_samples'][name]:.2f}"]
            for name, times in results["generation"].items()
        ]

    return by_processor("generation", ["", "seconds", "times get_samples"], rows_of)


def trl_table() -> str:
    """Return the time of a phase by TRL and by the course."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        faster = results["times_as_fast_as_trl"]
        return [
            [
                name,
                shown(times["cpu_seconds"]),
                shown(times["seconds"]),
                f"{faster[name]['cpu_seconds']:.2f}",
                f"{faster[name]['seconds']:.2f}",
            ]
            for name, times in results["phase"].items()
        ]

    return by_processor("trl", ["", "seconds", "by the clock", "times as fast", "by the clock"], rows_of)


def _grading_rows(peer: str, title: str, results: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the judge and of another grader."""
    rows = []
    for grader, figures in (("the judge", results["ours"]), (title, results[peer])):
        faster = f"{results['times_as_fast']:.1f}" if grader == "the judge" else "1.0"
        each = f"{figures['core_seconds'] / figures['submissions']:.2f}"
        rows.append([grader, f"{figures['submissions']}", f"{figures['submissions_a_minute']:.1f}", each, faster])
    return rows


GRADING_HEAD = ["", "submissions", "a minute", "core seconds each", "times as fast"]


def grading_table() -> str:
    """Return submissions a minute by nbgrader and by the judge."""
    return by_processor("grading", GRADING_HEAD, partial(_grading_rows, "nbgrader_autograde", "nbgrader autograde"))


def otter_table() -> str:
    """Return submissions a minute by otter-grader and by the judge."""
    return by_processor("otter_grading", GRADING_HEAD, partial(_grading_rows, "otter_run", "otter run"))


def startup_table() -> str:
    """Return the start-up times."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        return [
            [name, shown(times["cpu_seconds"]), shown(times["seconds"])] for name, times in results["startup"].items()
        ]

    return by_processor("startup", ["", "seconds", "by the clock"], rows_of)


def growth_table() -> str:
    """Return the time of a phase while one size grows."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        return [
            [name, *(f"{size}: {shown(times)}" for size, times in sizes.items())]
            for name, sizes in results["cpu_seconds_of_a_phase"].items()
        ]

    return by_processor("growth", ["what grows", "seconds of a phase", "", ""], rows_of)


def machine_table() -> str:
    """Describe the machines of the figures, and how busy they were."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        machine = results["machine"]
        rates = (f"{results[rate]:.0f}" for rate in ("matmul_gflops", "usual_matmul_gflops"))
        others = [machine.get(f"other_programs_{when}") for when in ("before", "during")]
        shares = ", ".join(f"{100 * share:.0f}%" for share in others if share is not None) or "not recorded"
        load = f"{machine['load_average_before']:.1f}"
        return [[machine["date"], f"{machine['cores']}, {machine['threads']}", machine["torch"], *rates, load, shares]]

    head = ["measured", "cores, threads", "torch", "GFLOP/s, quicker library", "GFLOP/s, default"]
    return by_processor("phase_embedded", [*head, "load average before", "other programs before, during"], rows_of)


TABLES = (
    machine_table,
    phase_table,
    large_phase_table,
    trl_table,
    memory_table,
    generation_table,
    grading_table,
    otter_table,
    startup_table,
    growth_table,
)


def _filled(table: str, match: re.Match[str]) -> str:
    """Return a pair of markers with a table between them."""
    return f"{match[1]}{table}\n{match[2]}"


def filled_page() -> str:
    """Return the page with its tables made from the current results."""
    text = PAGE.read_text()
    for make_table in TABLES:
        pattern = rf"(<!-- {make_table.__name__} -->\n).*?(<!-- /{make_table.__name__} -->)"
        try:
            text_of_table = make_table()
        except FileNotFoundError as error:
            text_of_table = f"(not measured yet: {Path(error.filename).name} is missing)"
        text, count = re.subn(pattern, partial(_filled, text_of_table), text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"docs/performance.md should have one pair of markers for {make_table.__name__}")
    return text


if __name__ == "__main__":
    PAGE.write_text(filled_page())
