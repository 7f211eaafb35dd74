"""A program of its own that grades attacks and the reference at a level of isolation, and prints the results as JSON.

usage: grade_attacks.py LEVEL ATTACK...
"""

import json
import sys
from pathlib import Path

from rlhf_course.course import EXERCISES
from rlhf_course.grading.judge.judge import Judge, ResourceLimits
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import SOLUTIONS


def main(level: str, attacks: list[str]) -> None:
    """Grade the attacks on `compute_advantages`, then the reference's answers to everything."""
    reference = {one.path: (SOLUTIONS / one.path).read_text() for one in EXERCISES}
    texts = {attack: (Path(__file__).parent / "attacks" / f"{attack}.py").read_text() for attack in attacks}
    submissions = [Submission(name, {"part1_rlhf/compute_advantages.py": text}) for name, text in texts.items()]
    with Judge(level, ResourceLimits(memory=768, timeout=4)) as judge:
        results = [judge.grade(one) for one in [*submissions, Submission("reference", reference)]]
    print(json.dumps([one.model_dump() for one in results]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
