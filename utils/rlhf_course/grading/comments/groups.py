"""Group the answers of a class that do the same, so that one comment serves a group.

Two answers do the same if each hidden test has the same status and message for both, they behave like the same known
mistake, and, where there is no known mistake, their outputs on the class's inputs are equal up to rounding. A class
such as the trainer has no outputs in the results, so there the tests and the mistake decide alone.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rlhf_course.grading.results import ExerciseResult, SubmissionResult
from rlhf_course.grading.submissions.submission import Submission

_MAX_TEXT = 6000
_KEY_DIGITS = 6
# Outputs are numbers in steps of a thousandth. Groups are at least two steps apart, and a key may be one step off.
_STEPS = 1000
_GAP, _TOLERANCE = 2.5, 1.0


@dataclass(frozen=True)
class Group:
    """Answers to one exercise that do the same.

    Attributes:
        exercise: The name of the exercise.
        key: The group's name in the file of comments, which is the same after another grading.
        members: The names of the submissions.
        example: The result of the first member.
    """

    exercise: str
    key: str
    members: list[str]
    example: ExerciseResult

    def is_named(self, key: str) -> bool:
        """Return whether a key names this group; its last figure may be one off, since outputs are rounded."""
        (digest, number), (own_digest, own_number) = _parts(key), _parts(self.key)
        if digest != own_digest or (number is None) != (own_number is None):
            return False
        return number is None or own_number is None or abs(number - own_number) <= _TOLERANCE


@dataclass
class Examples:
    """Collects the text of one answer of each group while a class is graded.

    Attributes:
        texts: The texts, by exercise and submission.
    """

    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    _known: set[tuple[str, str]] = field(default_factory=set)

    def add(self, submission: Submission, result: SubmissionResult) -> None:
        """Keep the answers of a submission to whose group no other one belongs."""
        for exercise in submission.exercises:
            text, graded = submission.files.get(exercise.path), result.exercises.get(exercise.name)
            if text is None or graded is None:
                continue
            key = _key(graded, graded.outputs)
            if (exercise.name, key) not in self._known:
                self._known.add((exercise.name, key))
                self.texts.setdefault(exercise.name, {})[result.name] = text[:_MAX_TEXT]


def group_answers(results: Sequence[SubmissionResult]) -> dict[str, list[Group]]:
    """Return the groups of each exercise: those that lost points first, and the largest of them first."""
    behaviours: dict[str, dict[str, list[tuple[float, str, ExerciseResult]]]] = {}
    for result in results:
        for name, exercise in result.exercises.items():
            outputs = _STEPS * (exercise.outputs or 0.0)
            behaviours.setdefault(name, {}).setdefault(_key(exercise, None), []).append(
                (outputs, result.name, exercise)
            )
    return {
        name: sorted(
            (group for members in digests.values() for group in _groups(name, members)),
            key=lambda group: (group.example.state in ("passed", "missing", "unreadable"), -len(group.members)),
        )
        for name, digests in behaviours.items()
    }


def _groups(exercise: str, members: list[tuple[float, str, ExerciseResult]]) -> list[Group]:
    """Divide answers to which the tests replied alike by their outputs."""
    if _is_known(members[0][2]):
        return [Group(exercise, _key(members[0][2], None), [name for _, name, _ in members], members[0][2])]
    runs: list[list[tuple[float, str, ExerciseResult]]] = []
    for member in sorted(members, key=lambda member: member[0]):
        if runs and member[0] - runs[-1][-1][0] < _GAP:
            runs[-1].append(member)
        else:
            runs.append([member])
    place = {name: index for index, (_, name, _) in enumerate(members)}
    groups = []
    for run in runs:
        mean = sum(outputs for outputs, _, _ in run) / len(run)
        ordered = sorted(run, key=lambda member: place[member[1]])
        example = ordered[0][2]
        key = _key(example, None if example.outputs is None else mean / _STEPS)
        groups.append(Group(exercise, key, [name for _, name, _ in ordered], example))
    return groups


def _is_known(exercise: ExerciseResult) -> bool:
    """Return whether outputs add nothing to what is known of an answer."""
    return bool(exercise.mistake) or exercise.outputs is None or exercise.state in ("passed", "missing", "unreadable")


def _key(exercise: ExerciseResult, outputs: float | None) -> str:
    """Return the key of an answer's group."""
    if exercise.state in ("passed", "missing", "unreadable"):
        return exercise.state
    content = [exercise.mistake, [[test.name, test.status, test.message] for test in exercise.tests]]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_KEY_DIGITS]
    return digest if outputs is None or exercise.mistake else f"{digest}-{round(_STEPS * outputs) + _STEPS}"


def _parts(key: str) -> tuple[str, int | None]:
    """Return the digest of a key, and its number; None if it has none."""
    digest, _, number = key.partition("-")
    return digest, int(number) if number.isdecimal() else None


def example_text(group: Group, examples: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text of a member's answer; empty if the results hold none."""
    texts = examples.get(group.exercise, {})
    return next((texts[name] for name in group.members if name in texts), "")
