"""The tables of docs/performance.md, from benchmarks/results: `python benchmarks/tables.py`"""

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results", HERE.parent / "docs" / "performance.md"
VARIANTS = ("plain loop", "answers", "lean")


def measured(name: str) -> dict[str, Any]:
    """A benchmark's results."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def shown(numbers: dict[str, Any], digits: int = 2) -> str:
    """A median with its spread."""
    return f"{numbers['median']:.{digits}f} ({numbers['low']:.{digits}f} to {numbers['high']:.{digits}f})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """As Markdown."""
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def phase_table() -> str:
    """A phase, its two parts, and their speed beside the plain loop's."""
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
    """Peaks over the loaded models."""
    data = measured("memory")
    rows = []
    for model in (name for name in ("embedded", "GPT-2's vocabulary") if name in data):
        for variant in VARIANTS:
            peak = shown(data[model]["megabytes_over_the_models"][variant], 0)
            rows.append([model, variant, peak, f"{100 * data[model]['share_of_the_plain_loop'][variant]:.0f}%"])
    return table(["model", "", "MB", "of the plain loop"], rows)


def generation_table() -> str:
    """Sampling, beside the libraries' own."""
    data = measured("generation")
    rows = [
        [name, shown(one["cpu_seconds"]), f"{data['times_the_cpu_of_get_samples'][name]:.2f}"]
        for name, one in data["generation"].items()
    ]
    return table(["", "seconds", "times get_samples"], rows)


def trl_table() -> str:
    """TRL beside the course."""
    data = measured("trl")
    rows = []
    for name, one in data["phase"].items():
        faster = data["times_as_fast_as_trl"][name]
        rows.append(
            [
                name,
                shown(one["cpu_seconds"]),
                shown(one["seconds"]),
                f"{faster['cpu_seconds']:.2f}",
                f"{faster['seconds']:.2f}",
            ]
        )
    return table(["", "seconds", "by the clock", "times as fast", "by the clock"], rows)


def grading_table() -> str:
    """Submissions a minute beside the two graders, each against ours of the same run."""
    rows = []
    for name, peer, title in (
        ("grading", "nbgrader_autograde", "nbgrader autograde"),
        ("otter_grading", "otter_run", "otter run"),
    ):
        data = measured(name)
        for who, one in (("the judge", data["ours"]), (title, data[peer])):
            faster = f"{data['times_as_fast']:.1f}" if who == "the judge" else "1.0"
            each = f"{one['core_seconds'] / one['submissions']:.2f}"
            rows.append([who, f"{one['submissions']}", f"{one['submissions_a_minute']:.1f}", each, faster])
    return table(["", "submissions", "a minute", "core seconds each", "times as fast"], rows)


def startup_table() -> str:
    """From nothing to something."""
    startup = measured("startup")["startup"]
    return table(
        ["", "seconds", "by the clock"],
        [[name, shown(one["cpu_seconds"]), shown(one["seconds"])] for name, one in startup.items()],
    )


def growth_table() -> str:
    """A phase as one size doubles or more."""
    data = measured("growth")["cpu_seconds_of_a_phase"]
    rows = [[name, *(f"{size}: {shown(one)}" for size, one in sizes.items())] for name, sizes in data.items()]
    return table(["what grows", "seconds of a phase", "", ""], rows)


def machine_line() -> str:
    """Where the figures come from."""
    data = measured("phase_embedded")
    where, rates = data["machine"], (data["matmul_gflops"], data["usual_matmul_gflops"])
    return (
        f"{where['cpu']}, {where['cores']} cores, "
        f"{where['threads']} thread{'s' if where['threads'] > 1 else ''} in use, "
        f"torch {where['torch']}; load average before the first run {where['load_average_before']:.1f}. A large "
        f"product: {rates[0]:.0f} GFLOP a second of a core by the quicker library, "
        f"{rates[1]:.0f} as PyTorch makes it by itself"
    )


def _filled(table: str, match: re.Match[str]) -> str:
    """A pair of markers with a table between them."""
    return f"{match[1]}{table}\n{match[2]}"


def filled_page() -> str:
    """The page with its tables made anew."""
    text = PAGE.read_text()
    for maker in (
        machine_line,
        phase_table,
        trl_table,
        memory_table,
        generation_table,
        grading_table,
        startup_table,
        growth_table,
    ):
        pattern = rf"(<!-- {maker.__name__} -->\n).*?(<!-- /{maker.__name__} -->)"
        try:
            made = maker()
        except FileNotFoundError as error:
            made = f"(not measured yet: {Path(error.filename).name} is missing)"
        text, count = re.subn(pattern, partial(_filled, made), text, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"docs/performance.md marks no place for {maker.__name__}")
    return text


if __name__ == "__main__":
    PAGE.write_text(filled_page())
