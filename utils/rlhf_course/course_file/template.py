"""Write the text of a new `course.toml`."""

import json
from collections.abc import Sequence

from rlhf_course.course import DEFAULT_PART, EXERCISES

_TEMPLATE = """\
# Settings of this course. A line such as "# key = value" shows the default or an example: delete the "# " to set it.
# A wrong key or value is refused with its line.

# The title in reports.
# title = {title}

# The parts that are released and graded.
# parts = ["{part}"]

# Further assignments that you make in nbgrader, so that they may have due dates below.
{assignments}

# Exercises that are neither taught nor graded. Learners get their code, and later exercises use it.
# left_out = ["{exercise}"]

# The zone of times that a platform exports without one, such as Moodle, and in which learners read times.
# timezone = "Europe/Berlin"

# The points of the exercises. The points of the hidden tests are scaled to them.
[points]
{points}

# Full marks, by part or assignment, where they are fewer than all points: who has more has full marks.
[full]
# {part} = {full}

# Due dates, by part or assignment, with the offset from UTC.
[due]
# {part} = 2027-03-05T23:59:00+01:00

# What late work costs, once an assignment: points such as 10, or a percentage of full marks such as "10%".
[late]
# penalty_per_day = "10%"  # for each started day of 24 hours
# flat = 0                 # once, however late
# grace = 15               # minutes after the due date that cost nothing
# latest = 7               # days after which the work counts nothing
# max = "50%"              # the highest penalty before that

# Extensions by learner: days for each assignment, a due date of their own, or either by assignment. A learner is named
# as in nbgrader; outside nbgrader as the submission, or by Canvas' or Moodle's number in the submission's name.
[extensions]
# ada = 2
# ben = 2027-03-12T23:59:00+01:00
# "cy@example.org" = {{ {part} = 3 }}
"""


def course_file_template(title: str = "", assignments: Sequence[str] = ()) -> str:
    """Return the text of a new `course.toml`: every key with what it does, in comments, so that nothing changes.

    Args:
        title: The title that the comment shows.
        assignments: The further assignments of the course, which are set.
    """
    points = "\n".join(f"# {exercise.name} = {exercise.points:g}" for exercise in EXERCISES)
    return _TEMPLATE.format(
        title=json.dumps(title or DEFAULT_PART.title),
        part=DEFAULT_PART.name,
        assignments=("" if assignments else "# ") + f"assignments = {json.dumps(assignments or ['week1', 'week2'])}",
        points=points,
        exercise=DEFAULT_PART.exercises[-1].name,
        full=f"{DEFAULT_PART.points - DEFAULT_PART.exercises[-1].points:g}",
    )
