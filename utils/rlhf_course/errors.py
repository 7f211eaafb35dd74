"""Define the error whose message is meant for the user."""

import sysconfig
import traceback
from pathlib import Path

# Lines of code in these folders are not the user's.
_INSTALLED = (
    str(Path(__file__).resolve().parent),
    *{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")},
)


class CourseError(ValueError):
    """An error that the user can correct; the message says what was wrong and what to do."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback: the lines of the user's own code, and the message.

        IPython looks for a method of this name. The traceback of the course's code, and of the libraries whose errors
        led to this one, would say nothing that the message does not say.
        """
        frames = traceback.extract_tb(self.__traceback__)
        # Code that a library generates, such as the methods of a dataclass, has no line to show.
        own = [frame for frame in frames if frame.line and not frame.filename.startswith(_INSTALLED)]
        lines = [f"{_file_of(frame)}, line {frame.lineno}: {frame.line}" for frame in own[-3:]]
        return [*lines, f"{type(self).__name__}: {self}"]


def _file_of(frame: traceback.FrameSummary) -> str:
    """Return the name of a frame's file; the file of a notebook's cell is "this cell"."""
    path = Path(frame.filename)
    if path.parent.name.startswith("ipykernel_") or frame.filename.startswith("<ipython-input"):
        return "this cell"
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else frame.filename


def missing_extra(feature: str, extra: str) -> CourseError:
    """Return the error for a feature whose packages are not installed.

    Args:
        feature: The feature, which the message starts with.
        extra: The extra of this package that installs them.
    """
    return CourseError(f"{feature} needs packages that are not installed: pip install 'rlhf-course[{extra}]'")
