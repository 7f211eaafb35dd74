"""Compare two runs of the benchmarks on this processor: `python benchmarks/repeated.py REVISION`

The first run's results are those of the git revision, and the second run's are those in the working tree. Each median
that was measured again is compared with the range of the other run, from its lowest repeat to its highest. If nothing
but chance differs, the ranges of two times five repeats overlap in all but 2 of 252 cases, and the second median
lies in the first range in five of six.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from harness import RESULTS, earlier_results, processor, write_results

Spread: TypeAlias = dict[str, float]


def spreads(results: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Spread]]:
    """Find every median with its lowest and highest repeat in a benchmark's results.

    Yields: the keys that lead to it, and the three numbers.
    """
    if not isinstance(results, dict):
        return
    if results.keys() >= {"median", "low", "high"}:
        yield path, results
        return
    for key, value in results.items():
        yield from spreads(value, (*path, key))


def ratios_of(results: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Return how many times as fast as the peer of a run each other variant was, where a benchmark has recorded it."""
    tables = {key: value for key, value in results.items() if key.startswith("times_")}
    return {(key, name): ratio for key, value in tables.items() for name, ratio in value.items() if ratio != 1}


def compared(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Compare what two runs of a benchmark measured.

    Returns: how many medians both runs have, how many ranges overlap, in how many the second median lies in the first
        range, and the second median as a multiple of the first: median, lowest and highest. A part that is saved can
        be zero or negative, and so has no multiple. Of the ratios within a run, the second as multiples of the first.
    """
    of_second = dict(spreads(second))
    pairs = [(path, before, of_second[path]) for path, before in spreads(first) if path in of_second]
    multiples = [after["median"] / before["median"] for path, before, after in pairs if path[-1] != "saved"]
    again = ratios_of(second)
    ratios = [again[key] / ratio for key, ratio in ratios_of(first).items() if key in again]
    return {
        "medians": len(pairs),
        "ranges_overlap": sum(
            before["low"] <= after["high"] and after["low"] <= before["high"] for _, before, after in pairs
        ),
        "second_in_first_range": sum(before["low"] <= after["median"] <= before["high"] for _, before, after in pairs),
        "second_over_first": _middle(multiples),
        **({"second_ratio_over_first": _middle(ratios)} if ratios else {}),
    }


def _middle(numbers: list[float]) -> Spread:
    """Return median, lowest and highest."""
    return {"median": statistics.median(numbers), "low": min(numbers), "high": max(numbers)}


def at_revision(revision: str, file: Path) -> dict[str, Any]:
    """Return this processor's results in a file as it was at a git revision; nothing where it had none."""
    command = ["git", "show", f"{revision}:./{file.name}"]
    shown = subprocess.run(command, cwd=file.parent, capture_output=True, text=True)
    return json.loads(shown.stdout).get(processor(), {}) if shown.returncode == 0 else {}


def main() -> None:
    """Compare every benchmark that was run again since the revision; those of the others stay."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    revision, benchmarks = sys.argv[1], {}
    if subprocess.run(["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"], cwd=RESULTS).returncode:
        sys.exit(f"{revision} is no revision of this repository: name the commit that holds the first run's results.")
    for file in sorted(set(RESULTS.glob("*.json")) - {RESULTS / "repeated.json"}):
        first = at_revision(revision, file)
        second = json.loads(file.read_text()).get(processor(), {}) if first else {}
        if second != first and any(spreads(first)):
            benchmarks[file.stem] = compared(first, second)
    if not benchmarks:
        sys.exit(f"No benchmark was run on {processor()} again since {revision}.")
    earlier = earlier_results("repeated")
    write_results("repeated", earlier | {processor(): earlier.get(processor(), {}) | benchmarks})


if __name__ == "__main__":
    main()
