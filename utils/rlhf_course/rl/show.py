"""What a run prints: a progress bar, and a table of samples."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

_SAMPLES_SHOWN = 3
# A notebook keeps what is printed: there, not every phase gets its table.
_TABLE_EVERY_IN_A_NOTEBOOK = 10


class Display:
    """The printed side of a run; a context manager, during which the progress bar is alive.

    Args:
        show: whether anything is printed.
        total: phases of the run.
        done: phases that an earlier session has done.
    """

    def __init__(self, show: bool, total: int, done: int) -> None:
        self.console = Console(quiet=not show)
        columns = (
            TextColumn("phase"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        # In a notebook even a quiet progress bar would leave an empty widget behind.
        self._progress = Progress(*columns, console=self.console, disable=not show)
        self._task = self._progress.add_task("", total=total, completed=done, note="")
        self._total = total

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def show_message(self, text: str) -> None:
        """Print a line above the progress bar."""
        self.console.print(text, markup=False, highlight=False)

    def phase(self, row: dict[str, Any], samples: list[dict[str, Any]]) -> None:
        """Show that a phase is done."""
        done = row["phase"] + 1
        if has_table(done, self._total, self.console.is_jupyter):
            self.console.print(sample_table(row, samples))
        self._progress.update(self._task, completed=done, note=f"reward {row['mean_reward']:.2f}  KL {row['kl']:.3f}")


def has_table(done: int, total: int, in_a_notebook: bool) -> bool:
    """Whether the phase that makes it `done` of `total` shows its samples: in a notebook the first, every tenth, and the last."""
    return not in_a_notebook or done in (1, total) or done % _TABLE_EVERY_IN_A_NOTEBOOK == 0


def format_reward(reward: float) -> str:
    """A reward to be shown: whole numbers as such, others with decimals."""
    return f"{reward:.0f}" if float(reward).is_integer() else f"{reward:.3f}"


def sample_table(row: dict[str, Any], samples: list[dict[str, Any]]) -> Table:
    """The first texts of a phase, with their rewards and how likely the reference finds them."""
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
    if len({sample["reward"] for sample in samples}) > 1:
        return None
    return (
        f"Every text earned {format_reward(samples[0]['reward'])}: in this phase the reward tells no text from another."
    )
