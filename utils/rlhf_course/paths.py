"""Define the paths of the repository's folders."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
REPOSITORY = PACKAGE.parents[1]
SOLUTIONS = REPOSITORY / "solutions"
NOTEBOOKS = REPOSITORY / "notebooks"
HIDDEN_TESTS = REPOSITORY / "tests" / "hidden"
CHECKS = PACKAGE / "checks"
# Runs of the course's answers, reduced by tests/project/browser/record.py.
RECORDED_RUNS = PACKAGE / "recorded_runs"
STUBS = PACKAGE / "stubs.json"
