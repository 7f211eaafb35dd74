"""Write the tables of docs/performance.md from benchmarks/results: `python benchmarks/tables.py`"""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results", HERE.parent / "docs" / "performance.md"
VARIANTS = ("plain loop", "answers", "lean")


def measured(name: str) -> dict[str, Any]:
    """Return a benchmark's results."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def shown(numbers: dict[str, Any], digits: int = 2) -> str:
    """Return a median with lowest and highest as text."""
    return f"{numbers['median']:.{digits}f} ({numbers['low']:.{digits}f} to {numbers['high']:.{digits}f})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def phase_table() -> str:
    """Return the times of a phase and of its two parts, and their speed relative to the plain loop."""
    rows = []
    for name, title in (("phase_embedded", "embedded"), ("phase_gpt2_shape", "GPT-2 small's shape")):
        if not (RESULTS / f"{name}.json").is_file():
            continue
        data = measured(name)
        for variant in VARIANTS:
            parts = [shown(data[part][variant]["cpu_seconds"]) for part in ("phase", "rollout", "learning")]
            faster = [
                f"{data[key][variant]:.2f}" for key in ("times_as_fast_as_the_plain_loop", "times_as_fast_by_the_clock")
            ]
            share = f"{100 * data['share_of_the_matmul_rate'][variant]:.0f}%"
            rows.append([f"{title}, batch {data['batch']}", variant, *parts, *faster, share])
    head = ["model", "", "phase", "rollout", "learning", "times as fast", "by the clock", "of the matmul rate"]
    return table(head, rows)


def memory_table() -> str:
    """Return the peak memory of a phase on top of the loaded models."""
    data = measured("memory")
    rows = []
    for model in (name for name in ("embedded", "GPT-2's vocabulary") if name in data):
        for variant in VARIANTS:
            peak = shown(data[model]["megabytes_over_the_models"][variant], 0)
            rows.append([model, variant, peak, f"{100 * data[model]['share_of_the_plain_loop'][variant]:.0f}%"])
    return table(["model", "", "MB", "of the plain loop"], rows)


def ablation_table() -> str:
    """Return what each speed-up saves, with two columns for each processor."""
    processors = measured("ablation")
    names = dict.fromkeys(name for here in processors.values() for name in here["cpu_seconds"])
    titles = ("alone", "beside the others")
    rows = []
    for name in names:
        for unit, label, digits in (("cpu_seconds", "seconds", 2), ("megabytes", "MB", 0)):
            pairs = [here.get(unit, {}).get(name, {}).get(title) for here in processors.values() for title in titles]
            if any(pairs):
                rows.append([name, label, *(saved(pair, digits) for pair in pairs)])
    return table(["", "", *(f"{processor}: {title}" for processor in processors for title in titles)], rows)


def saved(pair: dict[str, Any] | None, digits: int) -> str:
    """Return the medians without and with a speed-up, and what it saves, as text."""
    if pair is None:
        return "not used"
    without, present = pair["without"]["median"], pair["with"]["median"]
    return f"{without:.{digits}f} to {present:.{digits}f} ({100 * (1 - present / without):.0f}%)"


def generation_table() -> str:
    """Return the time of sampling, by the course and by the libraries."""
    data = measured("generation")
    rows = [
        [name, shown(times["cpu_seconds"]), f"{data['times_the_cpu_of_get_samples'][name]:.2f}"]
        for name, times in data["generation"].items()
    ]
    return table(["", "seconds", "times get_samples"], rows)


def trl_table() -> str:
    """Return the time of a phase by TRL and by the course."""
    data = measured("trl")
    rows = []
    for name, times in data["phase"].items():
        faster = data["times_as_fast_as_trl"][name]
        rows.append(
            [
                name,
                shown(times["cpu_seconds"]),
                shown(times["seconds"]),
                f"{faster['cpu_seconds']:.2f}",
                f"{faster['seconds']:.2f}",
            ]
        )
    return table(["", "seconds", "by the clock", "times as fast", "by the clock"], rows)


def grading_table() -> str:
    """Return submissions a minute by nbgrader and by otter-grader, each with the judge's figure beside it."""
    rows = []
    for name, peer, title in (
        ("grading", "nbgrader_autograde", "nbgrader autograde"),
        ("otter_grading", "otter_run", "otter run"),
    ):
        data = measured(name)
        for grader, figures in (("the judge", data["ours"]), (title, data[peer])):
            faster = f"{data['times_as_fast']:.1f}" if grader == "the judge" else "1.0"
            each = f"{figures['core_seconds'] / figures['submissions']:.2f}"
            rows.append([grader, f"{figures['submissions']}", f"{figures['submissions_a_minute']:.1f}", each, faster])
    return table(["", "submissions", "a minute", "core seconds each", "times as fast"], rows)


def startup_table() -> str:
    """Return the start-up times."""
    startup = measured("startup")["startup"]
    return table(
        ["", "seconds", "by the clock"],
        [[name, shown(times["cpu_seconds"]), shown(times["seconds"])] for name, times in startup.items()],
    )


def growth_table() -> str:
    """Return the time of a phase while one size grows."""
    data = measured("growth")["cpu_seconds_of_a_phase"]
    rows = [[name, *(f"{size}: {shown(times)}" for size, times in sizes.items())] for name, sizes in data.items()]
    return table(["what grows", "seconds of a phase", "", ""], rows)


def machine_line() -> str:
    """Describe the machine of the figures."""
    data = measured("phase_embedded")
    machine, rates = data["machine"], (data["matmul_gflops"], data["usual_matmul_gflops"])
    return (
        f"{machine['cpu']}, {machine['cores']} cores, "
        f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''} in use, "
        f"torch {machine['torch']}; load average before the first run {machine['load_average_before']:.1f}. A large "
        f"product: {rates[0]:.0f} GFLOP a second of a core by the quicker library, "
        f"{rates[1]:.0f} as PyTorch makes it by itself"
    )


def _filled(table: str, match: re.Match[str]) -> str:
    """Return a pair of markers with a table between them."""
    return f"{match[1]}{table}\n{match[2]}"


def filled_page() -> str:
    """Return the page with its tables made from the current results."""
    text = PAGE.read_text()
    for make_table in (
        machine_line,
        phase_table,
        trl_table,
        memory_table,
        ablation_table,
        generation_table,
        grading_table,
        startup_table,
        growth_table,
    ):
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
