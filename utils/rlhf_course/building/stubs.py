"""Make the stub of an answer, in code or prose, by cutting the text between the solution marks."""

from rlhf_course.errors import CourseError
from rlhf_course.stubs import BEGIN, CODE_STUB, END

TEXT_STUB = "*Your answer here.*"


def cut_solutions(text: str, name: str, replacement: str = CODE_STUB) -> str:
    """Return a text with a replacement for each solution.

    Args:
        text: The text of an answer's file, or of a cell that is answered in prose.
        name: The name of the text for error messages.
        replacement: The line that replaces each solution, indented like the mark before it.

    Raises:
        CourseError: The marks do not pair up, or there are none.
    """
    lines: list[str] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        mark = line.strip()
        if mark in (BEGIN, END) and (mark == BEGIN) == inside:
            expected = END if inside else BEGIN
            raise CourseError(f"{name}, line {number}: found {mark!r}, expected {expected!r}")
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
