"""Judge every answer of the bank under many secrets: wrong ones have to be refused, and right ones accepted, each time.

usage: bank_secrets.py [--secrets N] [EXERCISE...]

Writes `results/bank_secrets.json`: for each exercise how many answers were judged, under how many secrets, and the
answers that one of the secrets judged otherwise.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.progress import track

from rlhf_course.bank import bank_file, read_bank
from rlhf_course.course import BY_NAME, EXERCISES
from rlhf_course.grading.drivers import offline_environment
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.judge.suite import run_suite
from rlhf_course.grading.sandbox.answers import LocalAnswers
from rlhf_course.grading.secret import Secret, public_secret
from rlhf_course.paths import REPOSITORY

RESULTS = Path(__file__).parent / "results/bank_secrets.json"


def failed_tests(exercise: str, answer: object, secret: Secret, tests: list[str] | None = None) -> list[str]:
    """Return the hidden tests, of those that are named or of all, that an answer fails under a secret."""
    results = run_suite(LocalAnswers({exercise: answer}), [exercise], secret=secret, tests=tests)[exercise]
    return ["test_" + result.name.replace(" ", "_") for result in results if result.status != "passed"]


def secrets_with_full_marks(exercise: str, answer: object, secrets: int) -> list[int]:
    """Return the secrets under which an answer passes all hidden tests of its exercise.

    One failed test is enough to refuse an answer, so the tests that refused it last are run before all others.
    """
    passed, last = [], []
    for number in range(secrets):
        secret = public_secret(number)
        if last and failed_tests(exercise, answer, secret, last):
            continue
        last = failed_tests(exercise, answer, secret)[:1]
        if not last:
            passed.append(number)
    return passed


def judge_bank(exercise: str, secrets: int) -> dict[str, object]:
    """Judge the bank of an exercise under some secrets."""
    bank = read_bank(bank_file(REPOSITORY, BY_NAME[exercise]))
    accepted, refused = [], []
    for name, answer in track((bank.wrong | bank.right).items(), description=exercise, transient=True):
        passed = secrets_with_full_marks(exercise, answer, secrets)
        if name in bank.wrong and passed:
            accepted.append({"answer": name, "secrets": passed})
        if name in bank.right and len(passed) < secrets:
            refused.append({"answer": name, "secrets": sorted(set(range(secrets)) - set(passed))})
    counts = {"wrong": len(bank.wrong), "right": len(bank.right), "secrets": secrets}
    return {**counts, "wrong_accepted": accepted, "right_refused": refused}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exercises", nargs="*", default=[exercise.name for exercise in EXERCISES])
    parser.add_argument("--secrets", type=int, default=20)
    options = parser.parse_args()
    reference_answers()
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    wrong_marks = 0
    for exercise in options.exercises:
        with offline_environment(exercise):
            stored[exercise] = judge_bank(exercise, options.secrets)
        print(exercise, json.dumps(stored[exercise]))
        wrong_marks += len(stored[exercise]["wrong_accepted"]) + len(stored[exercise]["right_refused"])
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    return 1 if wrong_marks else 0


if __name__ == "__main__":
    sys.exit(main())
