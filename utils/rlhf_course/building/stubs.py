"""Make the stub of an answer, in code or prose, by cutting the text between the solution marks."""

from rlhf_course.errors import CourseError
from rlhf_course.stubs import CODE_STUB

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
TEXT_STUB = "*Your answer here.*"


def cut_solutions(text: str, name: str, replacement: str = CODE_STUB) -> str:
    """Return a text with a replacement for each solution.

    Args:
        text: the text of an answer's file, or of a cell that is answered in prose.
        name: what an error message calls the text.
        replacement: the line that replaces each solution, indented as the solution's first mark.

    Raises:
        CourseError: the marks do not pair up, or there are none.
    """
    lines: list[str] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        mark = line.strip()
        if mark in (BEGIN, END) and (mark == BEGIN) == inside:
            raise CourseError(f"{name}, line {number}: {mark!r} stands where the other mark is expected")
        if mark == BEGIN:
            inside = True
            lines.append(line[: len(line) - len(line.lstrip())] + replacement)
        elif mark == END:
            inside = False
        elif not inside:
            lines.append(line)
    if inside or not any(replacement in line for line in lines):
        raise CourseError(f"{name}: put the solution between {BEGIN!r} and {END!r}, each on a line of its own")
    return "\n".join(lines) + "\n"
