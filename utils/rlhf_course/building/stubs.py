"""From an answer to its stub, code or prose: what stands between the marks is cut."""

from rlhf_course.errors import CourseError
from rlhf_course.stubs import CODE_STUB

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
TEXT_STUB = "*Your answer here.*"


def cut_solutions(text: str, name: str, instead: str = CODE_STUB) -> str:
    """A text with something else in place of each solution.

    Args:
        text: of an answer's file, or of a cell that is answered in prose.
        name: what a message calls it.
        instead: what stands there, indented as the mark was.

    Raises:
        CourseError: the marks do not pair up, or there are none.
    """
    kept: list[str] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        mark = line.strip()
        if mark in (BEGIN, END) and (mark == BEGIN) == inside:
            raise CourseError(f"{name}, line {number}: {mark!r} stands where the other mark should")
        if mark == BEGIN:
            inside = True
            kept.append(line[: len(line) - len(line.lstrip())] + instead)
        elif mark == END:
            inside = False
        elif not inside:
            kept.append(line)
    if inside or not any(instead in line for line in kept):
        raise CourseError(f"{name}: a solution stands between {BEGIN!r} and {END!r}, each on a line of its own")
    return "\n".join(kept) + "\n"
