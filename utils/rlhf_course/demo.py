"""Train the embedded model on the run `collapse` and show its texts, for `rlhf-course demo`."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from rlhf_course.learner_package import imported_answer, use_code
from rlhf_course.paths import SOLUTIONS
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.run_folder import RunFolder, read_run
from rlhf_course.rl.special_tokens import without_special_tokens

_SAMPLES_SHOWN = 4


def run_demo(out: Path | None, console: Console | None = None) -> RunFolder:
    """Train the embedded model on the run `collapse` with the reference answers; show its texts before and after.

    Args:
        out: The run's folder, or None for a new one in `runs/`.
        console: The console to print to; None for a new one.

    Returns:
        The run's folder.
    """
    console = console or Console()
    use_code(SOLUTIONS)
    args = RLHFArgs.for_profile("laptop", "collapse")
    console.print(
        f"A small language model continues {args.prefix!r} with {args.gen_len} tokens. Each period that it writes "
        "earns a reward of 1, and no KL penalty keeps it near its English (kl_coef 0). It learns for "
        f"{args.total_phases} phases.\n"
    )
    folder = imported_answer("RLHFTrainer")(args).train(out)
    first, last = folder.rows[0], folder.rows[-1]
    for title, row in (("Before", first), ("After", last)):
        console.print(f"\n[bold]{title}[/] ({row['mean_reward']:.1f} periods a text)")
        for text in samples_of(folder.path, row["phase"])[:_SAMPLES_SHOWN]:
            console.print("  " + escape(text), highlight=False)
    console.print(f"\nThe curve is in {folder.path / 'reward.png'}, every sample in {folder.path / 'samples.jsonl'}.")
    return folder


def samples_of(path: Path, phase: int) -> list[str]:
    """Return the texts that a run sampled in one phase, each as one line of words."""
    texts = [sample["text"] for sample in read_run(path).samples if sample["phase"] == phase]
    return [" ".join(without_special_tokens(text).split()) for text in texts]
