"""Define the settings of a course."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from rlhf_course.course import DEFAULT_PART, EXERCISES, Exercise, Part, select_parts
from rlhf_course.late_work import Extension, LateRule

EVERY = ""  # an extension of a learner for each assignment
_FINGERPRINT_DIGITS = 16


@dataclass(frozen=True)
class CourseFile:
    """The settings of a course. The defaults are those of a course without a file.

    Attributes:
        title: The course's title in reports.
        timezone: The zone of times that a platform writes without one; empty if there is none.
        part_names: The names of the parts that are released and graded.
        assignments: The names of further assignments that the instructor makes in nbgrader.
        points: The points of the exercises that do not have those of the list.
        left_out: The exercises that learners get answered, and that are not graded.
        full: The full marks, by part or assignment, where they are not the sum of the points.
        due: The due dates, by part or assignment.
        late: What late work costs.
        extensions: The extensions by learner and assignment; the assignment "" means each one.
    """

    title: str = ""
    timezone: str = ""
    part_names: tuple[str, ...] = (DEFAULT_PART.name,)
    assignments: tuple[str, ...] = ()
    points: Mapping[str, float] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    full: Mapping[str, float] = field(default_factory=dict)
    due: Mapping[str, datetime] = field(default_factory=dict)
    late: LateRule = field(default_factory=LateRule)
    extensions: Mapping[str, Mapping[str, Extension]] = field(default_factory=dict)

    def parts(self, names: Sequence[str] | None = None) -> tuple[Part, ...]:
        """Return parts with this course's points, and without the exercises that are left out.

        Args:
            names: The names of parts, or "all"; None or nothing for the parts of the course.

        Raises:
            CourseError: There is no part of such a name.
        """
        return tuple(self._with_points(part) for part in select_parts(names or self.part_names))

    def _with_points(self, part: Part) -> Part:
        exercises = [exercise for exercise in part.exercises if exercise.name not in self.left_out]
        return replace(
            part, exercises=tuple(replace(exercise, points=self.points_of(exercise)) for exercise in exercises)
        )

    def points_of(self, exercise: Exercise) -> float:
        """Return the points of an exercise in this course."""
        return self.points.get(exercise.name, exercise.points)

    def local(self, time: datetime) -> datetime:
        """Return a time in the course's zone, if it has one, to be shown to people."""
        return time.astimezone(ZoneInfo(self.timezone)) if self.timezone else time

    @property
    def fingerprint(self) -> str:
        """A text that differs between two courses if a setting that decides marks differs."""
        settings = [
            {exercise.name: self.points_of(exercise) for exercise in EXERCISES},
            sorted(self.left_out),
            dict(self.full),
            {name: _comparable(due) for name, due in self.due.items()},
            asdict(self.late),
            {
                learner.strip().lower(): {name: _comparable(extension) for name, extension in extensions.items()}
                for learner, extensions in self.extensions.items()
            },
        ]
        content = json.dumps(settings, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:_FINGERPRINT_DIGITS]

    def extension(self, learner: str, assignment: str) -> Extension | None:
        """Return the extension of a learner for an assignment; None if there is none."""
        by_learner = {name.strip().lower(): extensions for name, extensions in self.extensions.items()}
        extensions = by_learner.get(learner.strip().lower(), {})
        return extensions.get(assignment, extensions.get(EVERY))


def _comparable(extension: Extension) -> str:
    """Return a time in UTC, or the days of an extension."""
    return extension.astimezone(UTC).isoformat() if isinstance(extension, datetime) else str(extension)
