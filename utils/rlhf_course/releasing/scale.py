"""Put marks on the scale of the platform that imports them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_course.errors import CourseError


@dataclass(frozen=True)
class Mark:
    """One learner's mark.

    Attributes:
        learner: The name of the submission: a login, an e-mail address, or a name that a platform gave it.
        score: The points of the submission; None if a person has to grade a part of it first.
        max_score: The points of all exercises together.
        feedback: A line of feedback.
    """

    learner: str
    score: float | None
    max_score: float
    feedback: str = ""


@dataclass(frozen=True)
class Scale:
    """How points become marks.

    Attributes:
        platform: Whether full marks are the maximum that the platform states, where it states one.
        maximum: The mark of a submission with all points; None for as many as there are points. It comes before the
            platform's maximum.
    """

    platform: bool = True
    maximum: float | None = None

    def stated(self, cell: str) -> float | None:
        """Return the mark of a submission with all points; None for as many as there are points.

        Args:
            cell: The platform's maximum, as its table has it; empty if it states none.

        Raises:
            CourseError: The platform's maximum is needed, and is no number.
        """
        if self.maximum is not None or not self.platform or not cell.strip():
            return self.maximum
        return _number(cell)

    def mark(self, mark: Mark, cell: str = "") -> str:
        """Return a mark as the cell of a table, with at most two decimals; empty if there is none yet.

        Args:
            mark: The mark in points.
            cell: The platform's maximum, as its table has it. If it has a decimal comma, so has the mark.
        """
        if mark.score is None:
            return ""
        maximum = self.stated(cell)
        factor = 1.0 if maximum is None or not mark.max_score else maximum / mark.max_score
        text = f"{round(mark.score * factor, 2):.12g}"
        return text.replace(".", ",") if "," in cell else text


def parse_scale(text: str) -> Scale:
    """Return the scale that an option names: `platform`, `none`, or the mark of a submission with all points.

    Raises:
        CourseError: It is none of these.
    """
    if text in ("platform", "none"):
        return Scale(platform=text == "platform")
    try:
        return Scale(maximum=_number(text))
    except CourseError as error:
        raise CourseError(f"--scale takes platform, none or a number above 0: {error}") from error


def scale_note(scale: Scale, marks: Sequence[Mark], cells: Sequence[str]) -> str:
    """Return a sentence on the scale of some marks; empty if they are as many as the points.

    Args:
        scale: The scale.
        marks: The marks in points.
        cells: The platform's maximum for each mark.
    """
    pairs = {(mark.max_score, scale.stated(cell)) for mark, cell in zip(marks, cells, strict=True)}
    changed = sorted((points, maximum) for points, maximum in pairs if maximum is not None and maximum != points)
    if not changed:
        return ""
    listed = ", ".join(f"{points:g} points are {maximum:g}" for points, maximum in changed)
    return f"scaled: {listed}; --scale none writes points"


def _number(text: str) -> float:
    """Return a number above 0 as platforms write it, in any country: 1000, 1,000.00, 1.000,00, 1 000,00 or 100,00.

    Raises:
        CourseError: It is none, or could be two: 1,000 is a thousand in one country, and one in another.
    """
    plain = re.sub(r"[\s']", "", text)
    if re.fullmatch(r"[1-9]\d{0,2}[.,]\d{3}", plain):
        raise CourseError(f"{text.strip()!r} can be read as {plain[:-4]} or as {plain[:-4]}{plain[-3:]}")
    for group, point in ((",", "."), (".", ",")):
        if re.fullmatch(rf"(\d+|\d{{1,3}}(\{group}\d{{3}})+)(\{point}\d+)?", plain):
            number = float(plain.replace(group, "").replace(point, "."))
            if number > 0:
                return number
    raise CourseError(f"{text.strip()!r} is no number above 0")
