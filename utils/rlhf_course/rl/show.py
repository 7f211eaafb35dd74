"""Print the progress of a run: a progress bar and tables of samples."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

_SAMPLES_SHOWN = 3
# A notebook stores its output, so it gets a table only every so many phases.
_NOTEBOOK_TABLE_INTERVAL = 10


class _TrainingConsole(Console):
    """A console whose process goes on when the reader of its output has gone."""

    def on_broken_pipe(self) -> None:
        """Print nothing more, where Rich would end the process."""
        self.quiet = True


class Display:
    """Print a run's messages and samples. As a context manager, it shows the progress bar during the block.

    Args:
        show: Whether anything is printed.
        total: Number of phases of the run.
        done: Number of phases that are finished already.
    """

    def __init__(self, show: bool, total: int, done: int) -> None:
        self.console: Console = _TrainingConsole(quiet=not show)
        columns = (
            TextColumn("phase"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        # In a notebook even a quiet progress bar would show an empty widget.
        self._progress = Progress(*columns, console=self.console, disable=not show)
        self._task = self._progress.add_task("", total=total, completed=done, note="")
        self._total = total

    def __enter__(self) -> "Display":
        with self._goes_on():
            self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with self._goes_on():
            self._progress.stop()

    @contextmanager
    def _goes_on(self) -> Iterator[None]:
        """Print nothing more where the output cannot be written, as after `| head`: training goes on without it."""
        try:
            yield
        except OSError:
            self.console.quiet = True
            self._progress.disable = True

    def show_message(self, text: str) -> None:
        """Print a line above the progress bar."""
        with self._goes_on():
            self.console.print(text, markup=False, highlight=False)

    def show_warning(self, text: str) -> None:
        """Print a warning about an optional part of the run that does not work, even where nothing else is shown."""
        with self._goes_on():
            print(f"warning: {text}", file=sys.stderr)

    def phase(self, row: dict[str, Any], samples: list[dict[str, Any]]) -> None:
        """Advance the progress bar after a phase, and print its samples if they are due."""
        done = row["phase"] + 1
        with self._goes_on():
            if is_table_due(done, self._total, self.console.is_jupyter):
                self.console.print(sample_table(row, samples))
        self.advance(done, f"reward {row['mean_reward']:.2f}  KL {row['kl']:.3f}")

    def advance(self, done: int, note: str) -> None:
        """Advance the progress bar to `done` phases, with a note behind it."""
        with self._goes_on():
            self._progress.update(self._task, completed=done, note=note)


def is_table_due(done: int, total: int, in_notebook: bool) -> bool:
    """Return whether to print the samples after `done` of `total` phases: always, or seldom in a notebook."""
    return not in_notebook or done in (1, total) or done % _NOTEBOOK_TABLE_INTERVAL == 0


def format_reward(reward: float) -> str:
    """Format a reward: whole numbers without decimals, others with three."""
    return f"{reward:.0f}" if float(reward).is_integer() else f"{reward:.3f}"


def sample_table(row: dict[str, Any], samples: list[dict[str, Any]]) -> Table:
    """Return a table of the first texts of a phase, with their rewards and log-probabilities under the reference."""
    title = f"phase {row['phase'] + 1}: mean reward {row['mean_reward']:.2f}, KL {row['kl']:.3f}"
    table = Table(title=title, title_justify="left", caption=_caption(samples), caption_justify="left", expand=True)
    table.add_column("reward", justify="right")
    table.add_column("ref logprob", justify="right")
    table.add_column("text", ratio=1)
    for sample in samples[:_SAMPLES_SHOWN]:
        text = Text(sample["text"].replace("\n", "⏎"))
        table.add_row(format_reward(sample["reward"]), f"{sample['ref_logprob']:.1f}", text)
    return table


def _caption(samples: list[dict[str, Any]]) -> str | None:
    """Return a note for the case that all texts have the same reward."""
    if len({sample["reward"] for sample in samples}) > 1:
        return None
    reward = format_reward(samples[0]["reward"])
    return f"Every text has the reward {reward}: in this phase the policy cannot learn which is better."
