"""Write the figures of speed on the pages and in README.md from the results: `python benchmarks/tables.py`

A file of results holds the figures of each processor under its name, as `measurement` of harness.py writes them. A
table of them is made by `by_processor`: to add one, write a function that returns it, name it in `TABLES`, and put a
pair of markers with its name on the page. A figure within a sentence is a range over all processors that were measured:
add it to `RANGES`, and put a pair of markers around it.
"""

import json
import re
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
DOCS = HERE.parent / "docs"
PAGES = (DOCS / "performance.md", DOCS / "at_scale.md", HERE.parent / "README.md")
SLOW_CHECKS = 5
VARIANTS = ("plain loop", "answers", "lean")
MODELS = {"embedded": "embedded", "gpt2-shape": "GPT-2's shape"}
CLASS, PRICE = 10_000, 0.05  # submissions; dollars for a core and an hour, a round figure for rented machines
MACHINES = (2, 8, 32, 96)  # cores


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


PHASE_HEAD = [
    "",
    "phase",
    "rollout",
    "learning",
    "times as fast",
    "by the clock",
    "of the matmul rate",
    "products alone",
]


def phase_rows(results: dict[str, Any]) -> list[list[str]]:
    """Return the rows of one processor."""
    rows = []
    for variant in VARIANTS:
        parts = [shown(results[part][variant]["cpu_seconds"]) for part in ("phase", "rollout", "learning")]
        faster = [
            f"{results[key][variant]:.2f}" for key in ("times_as_fast_as_the_plain_loop", "times_as_fast_by_the_clock")
        ]
        least = results.get("products_alone_seconds", {})
        products = f"{least[variant]:.2f}" if least else "not counted"
        share = f"{100 * results['share_of_the_matmul_rate'][variant]:.0f}%"
        rows.append([variant, *parts, *faster, share, products])
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


def ablation_table() -> str:
    """Return what each speed-up saves, alone and beside the others."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        return [
            [
                MODELS[model],
                name,
                *(_saved(figures[title]) for title in ("alone", "beside the others")),
                *(
                    _less(results[model].get("megabytes", {}).get(name, {}).get(title))
                    for title in ("alone", "beside the others")
                ),
            ]
            for model in MODELS
            if model in results
            for name, figures in results[model]["cpu_seconds"].items()
        ]

    head = ["seconds saved alone", "beside the others", "MB alone", "beside the others"]
    return by_processor("ablation", ["model", "speed-up", *head], rows_of)


def _saved(figures: dict[str, Any]) -> str:
    """Return the percentage of seconds that a speed-up saves, and the medians without and with it, as text."""
    median, low, high = (f"{100 * figures['saved'][key]:.0f}%" for key in ("median", "low", "high"))
    return f"{median} ({low} to {high}): {figures['without']['median']:.2f} to {figures['with']['median']:.2f}"


def _less(figures: dict[str, Any] | None) -> str:
    """Return the memory without and with a speed-up as text."""
    return "" if figures is None else f"{figures['without']['median']:.0f} to {figures['with']['median']:.0f}"


def generation_table() -> str:
    """Return the time of sampling, by the course and by the libraries."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        return [
            [name, shown(times["cpu_seconds"]), f"{results['times_the_cpu_of_get_samples'][name]:.2f}"]
            for name, times in results["generation"].items()
        ]

    return by_processor("generation", ["", "seconds", "times get_samples"], rows_of)


def waiting_table() -> str:
    """Return the time of half a phase by how threads wait, on an idle machine and beside a busy program."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        return [
            [beside, name, shown(times["seconds"]), shown(times["cpu_seconds"])]
            for beside in ("alone", "beside a busy program")
            for name, times in results[beside].items()
        ]

    return by_processor("waiting", ["", "threads that wait", "by the clock", "seconds"], rows_of)


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


def trl_parts_table() -> str:
    """Return the times of works of parts 2 and 3 by TRL and by the course."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        rows = []
        for work, sides in results["works"].items():
            cells = [shown(sides[side][key]) for side in sides for key in ("cpu_seconds", "seconds")]
            faster = results["times_as_fast_as_trl"][work]
            rows.append([work, *cells, f"{faster['cpu_seconds']:.2f}", f"{faster['seconds']:.2f}"])
        return rows

    head = ["", "TRL", "TRL, by the clock", "the course", "the course, by the clock", "times as fast", "by the clock"]
    return by_processor("trl_parts", head, rows_of)


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


def check_table() -> str:
    """Return the seconds of the checks that take longest, and of the one that takes longest of the others."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        checks = results["checks"]
        ordered = sorted(checks, key=lambda name: _check_seconds(checks[name]), reverse=True)
        names = {name: f"`{name}`" for name in ordered[:SLOW_CHECKS]}
        names |= {ordered[SLOW_CHECKS]: f"the slowest of the other {len(checks) - SLOW_CHECKS}"}
        return [
            [title, *(shown(checks[name][kind]["seconds"]) for kind in ("right", "wrong"))]
            for name, title in names.items()
        ]

    return by_processor("check_speed", ["exercise", "a right answer", "a wrong answer"], rows_of)


def _check_seconds(check: dict[str, Any]) -> float:
    """Return the seconds by the clock of a check, of a right or a wrong answer, whichever takes longer."""
    return max(times["seconds"]["median"] for times in check.values())


def growth_table() -> str:
    """Return the time of each work while one size grows."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        return [
            [work, name, *(f"{size}: {shown(times)}" for size, times in sizes.items())]
            for work, measured_work in results["cpu_seconds"].items()
            for name, sizes in measured_work["grown"].items()
        ]

    return by_processor("growth", ["what is measured", "what grows", "seconds", "", ""], rows_of)


def repeated_table() -> str:
    """Return how far two runs of each benchmark agree."""

    def rows_of(benchmarks: dict[str, Any]) -> list[list[str]]:
        return [
            [
                name,
                f"{figures['medians']}",
                f"{figures['ranges_overlap']}",
                f"{figures['second_in_first_range']}",
                shown(figures["second_over_first"]),
                shown(figures["second_ratio_over_first"]) if "second_ratio_over_first" in figures else "",
            ]
            for name, figures in benchmarks.items()
        ]

    head = ["benchmark", "medians", "ranges overlap", "second median in the first range", "second over first median"]
    head.append("second over first ratio")
    return by_processor("repeated", head, rows_of)


def _autograding_needs(results: dict[str, Any]) -> dict[str, float]:
    """Return what a submission needs: core seconds of judging, of nbgrader's own part and of feedback, and memory."""

    def core_seconds(step: str, without: str) -> float:
        return (results[f"{step}_core_seconds"] - results[f"{without}_core_seconds"]) / results["submissions"]

    return {
        "judging": core_seconds("judged", "written"),
        "nbgrader": core_seconds("written", "start"),
        "feedback": core_seconds("feedback", "start"),
        "gigabytes_a_core": results["peak_gigabytes"] / results["machine"]["cores"],
    }


def measured_table() -> str:
    """Return what `nbgrader autograde` needs with the judge, and by its own execution."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        needs, count, stock = _autograding_needs(results), results["submissions"], results.get("stock_submissions")
        rows = [
            ["submissions, cores", f"{count:g}, {results['machine']['cores']:g}"],
            ["judging", f"{needs['judging']:.1f} core seconds a submission"],
            ["nbgrader's own part of `autograde`", f"{needs['nbgrader']:.2f} core seconds a submission"],
            ["`nbgrader generate_feedback`", f"{needs['feedback']:.2f} core seconds a submission"],
            ["memory at its peak", f"{results['peak_gigabytes']:.1f} GB, {needs['gigabytes_a_core']:.1f} GB a core"],
        ]
        if not stock:
            return rows
        rows.append(["executed by nbgrader too", f"{stock:g} of them"])
        ratios = []
        for unit, title in (("seconds", "seconds"), ("core_seconds", "core seconds")):
            executing, judging = results[f"stock_{unit}"] / stock, results[f"judged_{unit}"] / count
            name = f"`nbgrader autograde`, executing / judging, {title} a submission"
            rows.append([name, f"{executing:.1f} / {judging:.1f}"])
            ratios.append(f"{executing / judging:.1f} in {title}")
        return [*rows, ["ratio", ", ".join(ratios)]]

    return by_processor("autograding", ["what", "figure"], rows_of)


def sizing_table() -> str:
    """Return what a large class needs, by the number of cores."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        needs, rows = _autograding_needs(results), []
        for cores in MACHINES:
            minutes = CLASS * needs["judging"] / cores / 60
            rows.append(
                [
                    str(cores),
                    f"{cores * needs['gigabytes_a_core']:.0f} GB",
                    f"{minutes:.0f} minutes",
                    f"{CLASS * needs['nbgrader'] / 60:.0f} minutes",
                    f"{CLASS * needs['feedback'] / 60:.0f} minutes",
                    f"{PRICE * cores * minutes / 60:.2f}",
                ]
            )
        return rows

    return by_processor(
        "autograding", ["cores", "memory", "judging", "nbgrader's part", "feedback", "dollars"], rows_of
    )


def machine_table() -> str:
    """Describe the machines of the figures, and how busy they were."""

    def rows_of(results: dict[str, Any]) -> list[list[str]]:
        machine = results["machine"]
        rates = (f"{results[rate]:.0f}" for rate in ("matmul_gflops", "usual_matmul_gflops"))
        cores = f"{machine['cores']}, {machine['threads']}"
        load = f"{machine['load_average_before']:.1f}"
        return [[machine["date"], cores, machine["torch"], *rates, load, _others_share(machine["cpu"])]]

    head = ["measured", "cores, threads", "torch", "GFLOP/s, faster library", "GFLOP/s, default", "load average before"]
    return by_processor("phase_embedded", [*head, "other programs"], rows_of)


def _others_share(processor: str) -> str:
    """Return which share of all cores other programs used during the least and the most disturbed benchmark."""
    shares = {}
    for file in sorted(RESULTS.glob("*.json")):
        machine = _machine_of(json.loads(file.read_text()), processor)
        if "other_programs_during" in machine:
            shares[machine["other_programs_during"]] = file.stem
    if not shares:
        return "not recorded"
    return ", ".join(f"{100 * share:.0f}% ({shares[share]})" for share in sorted({min(shares), max(shares)}))


def _machine_of(results: Any, processor: str) -> dict[str, Any]:
    """Return the machine of a processor's results, or nothing where a file holds none of it."""
    own = results.get(processor, {}) if isinstance(results, dict) else {}
    return own.get("machine", {}) if isinstance(own, dict) else {}


TABLES = (
    machine_table,
    phase_table,
    large_phase_table,
    trl_table,
    trl_parts_table,
    memory_table,
    ablation_table,
    waiting_table,
    generation_table,
    grading_table,
    otter_table,
    startup_table,
    check_table,
    growth_table,
    repeated_table,
    measured_table,
    sizing_table,
)


def _phase_faster(variant: str) -> str:
    """Return how many times as fast as the plain loop a variant is, in processor seconds."""
    return range_over_processors("phase_embedded", lambda results: results["times_as_fast_as_the_plain_loop"][variant])


def _phase_seconds(variant: str) -> str:
    """Return the seconds by the clock of a phase of the embedded model."""
    return range_over_processors("phase_embedded", lambda results: results["phase"][variant]["seconds"]["median"])


def _trl_faster(variant: str) -> str:
    """Return how many times as fast as TRL a variant is, in processor seconds."""
    return range_over_processors("trl", lambda results: results["times_as_fast_as_trl"][variant]["cpu_seconds"])


def _checks_seconds(choose: Callable[[list[float]], float]) -> str:
    """Return the seconds by the clock of one of the checks, chosen by its seconds."""
    return range_over_processors(
        "check_speed",
        lambda results: choose([_check_seconds(check) for check in results["checks"].values()]),
        digits=2,
    )


RANGES: dict[str, Callable[[], str]] = {
    "answers_faster": partial(_phase_faster, "answers"),
    "lean_faster": partial(_phase_faster, "lean"),
    "answers_faster_than_trl": partial(_trl_faster, "answers"),
    "lean_faster_than_trl": partial(_trl_faster, "lean"),
    "answers_seconds": partial(_phase_seconds, "answers"),
    "check_seconds": partial(_checks_seconds, statistics.median),
    "slowest_check_seconds": partial(_checks_seconds, max),
    "faster_than_nbgrader": lambda: range_over_processors("grading", lambda results: results["times_as_fast"]),
}


def filled_pages() -> dict[Path, str]:
    """Return each page with its tables and ranges made from the current results.

    Raises:
        ValueError: A table or range has no pair of markers, or several.
    """
    texts = {page: page.read_text() for page in PAGES}
    for name, make in [(table.__name__, table) for table in TABLES] + list(RANGES.items()):
        new = f"\n{_made(make)}\n" if make in TABLES else _made(make)
        pattern, count = rf"(<!-- {name} -->).*?(<!-- /{name} -->)", 0
        for page, text in texts.items():
            texts[page], found = re.subn(pattern, rf"\g<1>{new}\g<2>", text, flags=re.DOTALL)
            count += found
        if count != 1:
            raise ValueError(f"the pages should have one pair of markers for {name}, and have {count}")
    return texts


def _made(make: Callable[[], str]) -> str:
    """Return a table or range, or what is missing for it, escaped as the replacement of a regular expression."""
    try:
        return make().replace("\\", r"\\")
    except FileNotFoundError as error:
        return f"(not measured yet: {Path(error.filename).name} is missing)"


if __name__ == "__main__":
    for page, text in filled_pages().items():
        page.write_text(text)
