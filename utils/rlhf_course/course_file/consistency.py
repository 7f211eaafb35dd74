"""Refuse entries of `course.toml` that are right by themselves, and contradict each other."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from rlhf_course.course import PARTS_BY_NAME
from rlhf_course.course_file.settings import EVERY, CourseFile
from rlhf_course.toml_file import KeyPath, TomlFile


def check_consistency(course: CourseFile, file: TomlFile) -> None:
    """Check the settings of a course against each other.

    Raises:
        CourseError: Two of them contradict each other; the message names one of them and its line.
    """
    for key, message in _contradictions(course, file):
        raise file.error(key, message)


def _contradictions(course: CourseFile, file: TomlFile) -> Iterator[tuple[KeyPath, str]]:
    yield from _of_points(course, file)
    yield from _of_late_work(course, file)
    yield from _of_extensions(course)
    yield from _of_offsets(course)


def _of_points(course: CourseFile, file: TomlFile) -> Iterator[tuple[KeyPath, str]]:
    if "parts" in file.content and not course.part_names:
        yield ("parts",), f"names no part: write at least one of {', '.join(PARTS_BY_NAME)}"
    for part in course.parts(list(PARTS_BY_NAME)):
        if not part.exercises:
            yield ("left_out",), f"leaves no exercise of {part.name}: keep one"
        elif not part.points:
            yield ("points",), f"gives no exercise of {part.name} points: write a number above 0 for one"
        elif course.full.get(part.name, 0) > part.points:
            yield (
                ("full", part.name),
                f"is more than all points of the part, {part.points:g}: write as many or fewer",
            )


def _of_late_work(course: CourseFile, file: TomlFile) -> Iterator[tuple[KeyPath, str]]:
    rule, written = course.late, file.content.get("late", {})
    if written and not {"penalty_per_day", "flat", "latest"} & set(written):
        yield ("late", next(iter(written))), "has no effect without penalty_per_day, flat or latest: add one of them"
    if rule.latest is not None and rule.grace > 24 * 60 * rule.latest:
        yield ("late", "grace"), f"is longer than latest, {rule.latest:g} days: grace is in minutes, write fewer"


def _of_extensions(course: CourseFile) -> Iterator[tuple[KeyPath, str]]:
    learners: dict[str, str] = {}
    for learner, extensions in course.extensions.items():
        other = learners.setdefault(learner.strip().lower(), learner)
        if other != learner:
            yield ("extensions", learner), f"is the same learner as {other!r}: keep one of both"
        for assignment, extension in extensions.items():
            dues = [due for name, due in course.due.items() if assignment in (EVERY, name)]
            if isinstance(extension, datetime) and dues and extension < min(dues):
                key = ("extensions", learner, *([assignment] if assignment != EVERY else []))
                yield key, f"is before the due date, {min(dues).isoformat()}: write a later date"


def _of_offsets(course: CourseFile) -> Iterator[tuple[KeyPath, str]]:
    """Yield the times whose offset the course's zone has at another time of the year, as when clocks change."""
    if not course.timezone:
        return
    zone = ZoneInfo(course.timezone)
    times: list[tuple[KeyPath, object]] = [(("due", name), due) for name, due in course.due.items()]
    for learner, extensions in course.extensions.items():
        times += [(("extensions", learner, name), extension) for name, extension in extensions.items()]
    for key, time in times:
        if not isinstance(time, datetime) or time.utcoffset() in _offsets_around(time, zone):
            continue
        # An offset that the zone never has, such as that of UTC, was chosen on purpose.
        if time.utcoffset() in _offsets_of_year(time.year, zone):
            right = time.replace(tzinfo=None).replace(tzinfo=zone).isoformat()
            zulu = time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
            yield (
                tuple(part for part in key if part != EVERY),
                f"has the offset of another season, since clocks in {course.timezone} change: "
                f"write {right}, or {zulu} if you mean that time",
            )


def _offsets_around(time: datetime, zone: ZoneInfo) -> set[timedelta | None]:
    """Return the zone's offsets at a time on the clock; two in the hour that comes twice, when clocks go back."""
    local = time.replace(tzinfo=zone)
    return {local.utcoffset(), local.replace(fold=1).utcoffset(), time.astimezone(zone).utcoffset()}


def _offsets_of_year(year: int, zone: ZoneInfo) -> set[timedelta | None]:
    return {datetime(year, month, 1, tzinfo=zone).utcoffset() for month in range(1, 13)}
