"""Grade attacks and the reference at an isolation level, and print the results as JSON; this is a program.

usage: grade_attacks.py LEVEL ATTACK...
"""

import json
import sys
from pathlib import Path

from rlhf_course.course import EXERCISES
from rlhf_course.grading.judge.judge import Judge, ResourceLimits
from rlhf_course.grading.sandbox.isolation import Level, parse_level
from rlhf_course.grading.submissions.submission import Submission
from rlhf_course.paths import SOLUTIONS


def main(level: Level, attacks: list[str]) -> None:
    """Grade the attacks on `compute_advantages`, then the reference's answers to everything."""
    reference = {exercise.path: (SOLUTIONS / exercise.path).read_text() for exercise in EXERCISES}
    texts = {attack: (Path(__file__).parent / "attacks" / f"{attack}.py").read_text() for attack in attacks}
    submissions = [Submission(name, {"part1_rlhf/compute_advantages.py": text}) for name, text in texts.items()]
    with Judge(level, ResourceLimits(memory=768, timeout=4)) as judge:
        results = [judge.grade(submission) for submission in [*submissions, Submission("reference", reference)]]
    print(json.dumps([result.model_dump() for result in results]))


if __name__ == "__main__":
    main(parse_level(sys.argv[1]), sys.argv[2:])
