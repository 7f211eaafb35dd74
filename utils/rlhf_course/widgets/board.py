"""The dashboard's face: state, buttons, curves and samples of one run, redrawn as seldom as its budget asks."""

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf_course.errors import CourseError
from rlhf_course.rl.run_folder import Run, load_config, read_run
from rlhf_course.widgets import training
from rlhf_course.widgets.curves_view import draw_curves
from rlhf_course.widgets.drawing import Picture
from rlhf_course.widgets.numbers.budget import Budget
from rlhf_course.widgets.numbers.curves import Curves, Spread, curves, run_folders, spread, spreads
from rlhf_course.widgets.numbers.story import latest, pace, standing
from rlhf_course.widgets.numbers.tokens import ScoredText
from rlhf_course.widgets.samples_view import LEGEND, samples_table, samples_text
from rlhf_course.widgets.scoring import Scorer, unscored
from rlhf_course.widgets.showing import Kept, Shown, escaped, show, words

_SHOWN = 4
_READ = "read"


class Board:
    """Shows one run, from the thread that trains it or from its folder.

    Args:
        path: the run's folder.
        total_phases: how far the run will go.
        make_scorer: makes what scores the run's samples, when they are first scored.
    """

    def __init__(self, path: Path, total_phases: int, make_scorer: Callable[[], Scorer]) -> None:
        self.path, self.total_phases = path, total_phases
        self.rows: list[dict[str, Any]] = []
        self.spreads: list[Spread] = []
        self.samples: dict[int, list[Mapping[str, Any]]] = {}
        self.budget = Budget()
        self.training: training.Training | None = None
        self.earlier: dict[str, Curves] = {}
        self.face: Any = None
        self._make_scorer, self._scorer = make_scorer, None
        self._turns = [("curves", self.show_curves), ("samples", self.show_samples)]
        self._page = Shown(None)
        self._table = ("", "")
        self._lock = threading.RLock()

    @property
    def status(self) -> str:
        """What the run is doing."""
        return self.training.status if self.training else _READ

    # What comes from the run.

    def fill(self, run: Run) -> None:
        """Take over everything that a run has left so far."""
        self.rows, self.spreads = list(run.rows), spreads(run.samples)
        self.samples = {}
        self._remember(run.samples)

    def add_phase(self, row: dict[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
        """Show one more phase: its numbers at once, curves and samples when the budget allows."""
        with self._lock:
            self.rows.append(row)
            self.spreads.append(spread([sample["reward"] for sample in samples]))
            self._remember(samples)
            try:
                self._take_turns()
            except Exception as error:  # a run is worth more than its picture
                self.face.show_message(f"The dashboard cannot be drawn ({escaped(repr(error))}); the run goes on.")

    def _take_turns(self) -> None:
        self.budget.spend("words", self.show_words)
        for _ in range(len(self._turns)):
            what, do = self._turns[0]
            if not self.budget.allows(what):
                break
            self.budget.spend(what, do)
            self._turns.append(self._turns.pop(0))

    def end(self) -> None:
        """Show the run as it ended, and save its picture."""
        with self._lock:
            self.show_all()
            self.keep()

    def _remember(self, samples: Sequence[Mapping[str, Any]]) -> None:
        for sample in samples:
            self.samples.setdefault(sample["phase"], []).append(sample)

    # What is shown.

    def display(self) -> None:
        """Put the board on the page."""
        if self.rows:
            self._table = self._samples()
        self._page = show(self._make_face, self._kept(self._picture()))
        # The first drawing of a process is slow; this one says what those to come will take.
        self.budget.learn("curves", self.show_curves())
        self.show_words()
        if self.face is not None:
            self.face.table.value = self._table[0]

    def show_all(self) -> None:
        """Redraw everything."""
        self.show_words()
        self.show_curves()
        self.show_samples()

    def show_words(self) -> None:
        """Say where the run stands, and fit the buttons to it."""
        if self.face is not None:
            lines = [standing(self.status, len(self.rows), self.total_phases, self.path, self._error())]
            lines += [pace(self.rows, self.total_phases)] if self.status in (training.TRAINING, training.PAUSED) else []
            lines += [latest(self.rows, self.spreads)]
            self.face.show_message("<br>".join(escaped(line) for line in lines if line))
            self.face.fit(self.status, len(self.rows))

    def show_curves(self) -> float:
        """Redraw the curves; returns the seconds that it took."""
        if self.face is None:
            return 0.0
        picture = self._picture(keep=False)
        self.face.image.value = picture.live()
        return picture.seconds

    def show_samples(self, phase: int | None = None) -> None:
        """Score and show samples of a phase, by default of the newest."""
        if self.face is not None and self.rows:
            self._table = self._samples(phase)
            self.face.table.value = self._table[0]

    def compare(self, names: Sequence[str]) -> None:
        """Draw earlier runs beside this one."""
        with self._lock:
            read = {name: self.earlier.get(name) or curves(read_run(self.path.parent / name).rows) for name in names}
            self.earlier = read
            self.show_curves()

    def others(self) -> list[str]:
        """The runs that there are to compare with."""
        return [path.name for path in run_folders(self.path.parent) if path.name != self.path.name]

    def read_again(self) -> None:
        """Read the run's folder once more."""
        with self._lock:
            self.fill(read_run(self.path))
            self.end()

    # Saved in the notebook.

    def keep(self) -> None:
        """Save a picture of the board as it is now."""
        with self._lock:
            self._page.keep(self._kept(self._picture()))

    def hold(self) -> None:
        """Show a run that has just been paused, and save its picture: there is time for it."""
        with self._lock:
            self.show_words()
            self.show_curves()
            self.keep()

    def _kept(self, picture: Picture) -> Kept:
        lines = (
            standing(self.status, len(self.rows), self.total_phases, self.path, self._error()),
            latest(self.rows, self.spreads),
        )
        table, text = self._table
        page = words("<br>".join(map(escaped, lines))) + picture.kept() + table
        return Kept(page, "\n".join([*lines, picture.alt, text]).strip())

    def _picture(self, keep: bool = True) -> Picture:
        run, length = curves(self.rows, self.spreads), self.total_phases
        if self.status not in (training.TRAINING, training.PAUSED, training.STOPPING):
            length = max([len(self.rows), *(len(one.phases) for one in self.earlier.values())])
        return draw_curves(self.path.name, run, self.earlier, length, keep)

    def _samples(self, phase: int | None = None) -> tuple[str, str]:
        """Some samples of a phase, the best of them first, as HTML and as text."""
        phase = self.rows[-1]["phase"] if phase is None else phase
        some = self.samples.get(phase, [])
        best = sorted(some, key=lambda sample: -sample["reward"])[:1]
        chosen = best + [sample for sample in some if sample is not best[0]][: _SHOWN - 1]
        title = f"Phase {phase}: the text with the largest reward, then the first ones of the rollout"
        texts, note = self._score(chosen)
        return samples_table(texts, title) + words(note), samples_text(texts, title)

    def _score(self, samples: Sequence[Mapping[str, Any]]) -> tuple[list[ScoredText], str]:
        try:
            if self._scorer is None:
                self._scorer = self._make_scorer()
            return self._scorer.score(samples), LEGEND
        except (
            Exception
        ) as error:  # a model that is not at hand, or the learner's own code, which may be anything by now
            reason = (
                str(error)
                if isinstance(error, CourseError)
                else f"{type(error).__name__} in get_logprobs or in the reward function"
            )
            return [unscored(sample) for sample in samples], f"Without colours: {escaped(reason)}."

    def _error(self) -> BaseException | None:
        return self.training.error if self.training else None

    def _make_face(self) -> Any:
        from rlhf_course.widgets.face import Face

        self.face = Face(self)
        return self.face.widget


def board_of_trainer(trainer: Any, path: Path) -> Board:
    """The board of a run that is about to be trained."""
    return Board(path, trainer.args.total_phases, lambda: Scorer.of_trainer(trainer))


def board_of_folder(path: Path) -> Board:
    """The board of a run that is in a folder, finished or not.

    Raises:
        CourseError: no run there, or it is damaged.
    """
    run = read_run(path)
    board = Board(path, run.config["args"]["total_phases"], lambda: Scorer.of_config(load_config(path)))
    board.fill(run)
    return board
