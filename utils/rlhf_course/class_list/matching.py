"""Match submissions with the rows of a class list, by one column and by nothing else.

A learner chooses the name of a file, and on some platforms a full name. If several columns were tried in turn, such a
name could be equal to a classmate's entry in another column.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_course.class_list.roster import Roster
from rlhf_course.errors import CourseError
from rlhf_course.grading.submissions.archives import ARCHIVES, NOTEBOOK

FULL_NAME = ("full name", "vollständiger name", "nom complet", "nombre completo", "nome completo", "nome")
IDENTIFIER = ("identifier", "identifikator", "identifiant", "identificador", "identificatore", "teilnehmer/in")
# The columns that the names of submissions are looked up in if they do not come from a platform's download.
_LOGINS = (
    ("sis login id",),
    ("username", "benutzername", "anmeldename", "nom d'utilisateur", "nombre de usuario"),
    ("id number", "id-nummer", "numéro d'identification", "número de id"),
    ("email address", "e-mail-adresse", "adresse de courriel", "dirección de correo", "email", "e-mail"),
    ("sid",),
    ("sis user id",),
    ("id",),
)


@dataclass(frozen=True)
class NameForm:
    """A form of the names of submissions that a platform downloads.

    Attributes:
        platform: The name of the platform.
        pattern: Finds the number that the platform gave the learner or the submission.
        columns: The names of the column of the platform's class list that holds this number, in lower case.
    """

    platform: str
    pattern: re.Pattern[str]
    columns: tuple[str, ...]

    def number(self, name: str) -> str | None:
        """Return the number in a name; None if there is none, or if there are several and each could be meant."""
        found = [match["number"] for match in self.pattern.finditer(name)]
        return found[0] if len(found) == 1 else None


# Examples: "Ada Li_4711_assignsubmission_file_", "submission_4711", "liada_LATE_4711_815_homework".
_FORMS = (
    # In German, Moodle calls the column with the participant's number "ID".
    NameForm("Moodle", re.compile(r"_(?P<number>\d+)_assignsubmission_"), (*IDENTIFIER, "id")),
    NameForm("Gradescope", re.compile(r"\Asubmission_(?P<number>\d+)\Z"), ("submission id",)),
    NameForm("Canvas", re.compile(r"_(?:LATE_)?(?P<number>\d+)_\d+_"), ("id",)),
)


_ROWS_OF_CANVAS = ("points possible", "student, test")
_LATE = re.compile(r"_LATE_\d+_\d+_")


@dataclass(frozen=True)
class Matching:
    """The submissions that belong to the rows of a class list.

    Attributes:
        key: The column that they were matched by.
        submissions: The index of the submission for the index of each row that has exactly one.
        problems: Messages on the submissions that belong to no row, or to a row that is not theirs alone.
        without_submission: The entries in the key's column of the rows that have no submission.
        without_key: The first cells of the rows that have no entry in the key's column, and so can have no submission.
    """

    key: str
    submissions: dict[int, int]
    problems: list[str]
    without_submission: list[str]
    without_key: list[str]


def match_rows(names: Sequence[str], roster: Roster, key: str | None = None) -> Matching:
    """Match submissions with rows that have an entry of their own in one column.

    Args:
        names: The name of each submission.
        roster: The class list.
        key: The name of the column; None for the one that the names of the submissions go with.

    Raises:
        CourseError: The column does not exist, or none is given and no column goes with the names.
    """
    form = _form_of_class(names)
    column = _default_column(roster, form) if key is None else roster.index(key)
    rows = defaultdict(list)
    for index, row in enumerate(roster.rows):
        if entry := _entry(roster.cell(row, column), roster.columns[column], form):
            rows[entry].append(index)
    claims, problems = defaultdict(list), []
    for index, name in enumerate(names):
        value = _value(name, roster.columns[column], form)
        if value is None or value not in rows:
            problems.append(f"{name}: belongs to no row")
        else:
            claims[value].append(index)
    submissions = {}
    for value, indices in claims.items():
        listed = ", ".join(names[index] for index in indices)
        if len(rows[value]) > 1:
            problems.append(f"{listed}: {len(rows[value])} rows have the same {roster.columns[column]}")
        elif len(indices) > 1:
            problems.append(f"{listed}: belong to the same row")
        else:
            submissions[rows[value][0]] = indices[0]
    without = [
        roster.cell(roster.rows[index], column)
        for value, indices in rows.items()
        if value not in claims
        for index in indices
    ]
    keyed = {index for indices in rows.values() for index in indices}
    unkeyed = [row[0].strip() for index, row in enumerate(roster.rows) if index not in keyed and _is_of_learner(row)]
    return Matching(roster.columns[column], submissions, problems, without, unkeyed)


def _is_of_learner(row: Sequence[str]) -> bool:
    """Return whether a row may be a learner's; Canvas has rows of its own below the columns' names."""
    return row[0].strip() != "" and row[0].strip().lower() not in _ROWS_OF_CANVAS


def learner_ids(names: Sequence[str]) -> list[str]:
    """Return what each submission of a class is matched by: the platform's number in its name, or else its name.

    Upper and lower case are the same.
    """
    form = _form_of_class(names)
    numbers = [form.number(name) if form is not None and _form_of(name) is form else None for name in names]
    return [number or plain_name(name) for name, number in zip(names, numbers, strict=True)]


def marked_as_late(names: Sequence[str]) -> list[str]:
    """Return the names by which Canvas says that a submission is late, which do not say since when."""
    return [name for name in names if _form_of(name) is _FORMS[-1] and _LATE.search(name)]


def names_a_file(name: str) -> bool:
    """Return whether a submission's name is that of a platform's download or of a second copy, and so is no login."""
    return _form_of(name) is not None or _without_suffix(name) != name


def _form_of(name: str) -> NameForm | None:
    return next((form for form in _FORMS if form.pattern.search(name)), None)


def _form_of_class(names: Sequence[str]) -> NameForm | None:
    """Return the form of most names, since one learner can name a submission in the form of another platform."""
    counts = Counter(map(_form_of, names))
    return max((None, *_FORMS), key=lambda form: counts[form])


def _default_column(roster: Roster, form: NameForm | None) -> int:
    groups = _LOGINS if form is None else (form.columns,)
    found = next((column for group in groups if (column := roster.find(group)) is not None), None)
    if found is None:
        kind = "logins" if form is None else f"the numbers in the names of {form.platform}'s downloads"
        raise CourseError(
            f"no column of {roster.path} is known to hold {kind}: name one with --key; "
            f"its columns are {roster.listed_columns()}"
        )
    return found


def _value(name: str, column: str, form: NameForm | None) -> str | None:
    """Return the entry that a submission's name stands for; None if it stands for none."""
    if form is None:
        return plain_name(name)
    if _form_of(name) is not form:
        return None
    if column.strip().lower() in form.columns:
        return form.number(name)
    if form.platform == "Moodle" and column.strip().lower() in FULL_NAME and form.number(name):
        return _normalised(form.pattern.split(name)[0])
    return None


def _entry(cell: str, column: str, form: NameForm | None) -> str:
    """Return the entry of a cell; of Moodle's "Participant 4711", in any language, the number."""
    if column.strip().lower() in (*IDENTIFIER, *(form.columns if form is not None else ())):
        match = re.fullmatch(r"\D*(\d+)\s*", cell)
        return match[1] if match else ""
    return _normalised(cell)


def plain_name(name: str) -> str:
    """Return a submission's name for a comparison: in lower case, and without the ending of an archive."""
    return _normalised(_without_suffix(name))


def _without_suffix(name: str) -> str:
    """Return a name without the ending that `grade` adds where a folder and an archive have one name."""
    name = re.sub(r" \(\d+\)\Z", "", name)
    suffix = next((suffix for suffix in (*ARCHIVES, NOTEBOOK) if name.lower().endswith(suffix)), "")
    return name.removesuffix(name[len(name) - len(suffix) :] if suffix else "")


def _normalised(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip().lower()
