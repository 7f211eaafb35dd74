"""The similarity report as pages that open from disk."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from rlhf_course.course import BY_NAME
from rlhf_course.files import write_text
from rlhf_course.grading.reports.pages import visible
from rlhf_course.similarity.pairs import Pair
from rlhf_course.stubs import stub_of

# A page for each of the weightiest pairs; more than this nobody reads.
MOST = 200


def write_report(folder: Path, pairs: Sequence[Pair], submissions: int) -> Path:
    """Write `index.html` with the list of pairs, and a page for each pair with both texts side by side.

    Returns: the list's page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = pairs[:MOST]
    for number, pair in enumerate(shown, 1):
        write_text(folder / page_name(number), _environment().get_template("pair.html").render(pair=pair))
    index = _environment().get_template("pairs.html").render(pairs=shown, found=len(pairs), submissions=submissions)
    write_text(folder / "index.html", index)
    return folder / "index.html"


def page_name(number: int) -> str:
    """The file of a pair's page."""
    return f"pair-{number:03}.html"


def lines_of(text: str, exercise: str) -> list[tuple[str, bool]]:
    """The lines of an answer, each with whether the stub gave it."""
    given = {line.strip() for line in stub_of(BY_NAME[exercise]).splitlines()}
    return [(line, line.strip() in given) for line in text.splitlines()]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("rlhf_course.similarity"), PackageLoader("rlhf_course.grading.reports")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=visible,
    )
    environment.globals |= {"page_name": page_name, "lines_of": lines_of}
    return environment
