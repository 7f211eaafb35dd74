"""Read `course.toml`, in which an instructor sets a course's points, exercises, due dates and late rule."""

from rlhf_course.course_file.read import COURSE_FILE, course_file_in, parse_course_file, read_course_file
from rlhf_course.course_file.settings import CourseFile
from rlhf_course.course_file.template import course_file_template

__all__ = [
    "COURSE_FILE",
    "CourseFile",
    "course_file_in",
    "course_file_template",
    "parse_course_file",
    "read_course_file",
]
