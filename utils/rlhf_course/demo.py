"""The first thing to run: a language model learns to write dots."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from rlhf_course.learner_package import imported_answer, use_code
from rlhf_course.paths import SOLUTIONS
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.run_folder import RunFolder, read_run
from rlhf_course.rl.special_tokens import without_special_tokens

_SHOWN = 4


def run_demo(out: Path | None, console: Console | None = None) -> RunFolder:
    """Train the embedded model by the run `collapse` with the reference answers; show it before and after.

    Args:
        out: the run's folder, or None for a new one in `runs/`.
    """
    console = console or Console()
    use_code(SOLUTIONS)
    args = RLHFArgs.for_profile("laptop", "collapse")
    console.print(
        f"A small language model continues {args.prefix!r} with {args.gen_len} tokens. Each period it writes is a "
        f"reward of 1, and nothing holds it to its English (kl_coef 0). It has {args.total_phases} phases to learn.\n"
    )
    folder = imported_answer("RLHFTrainer")(args).train(out)
    first, last = folder.rows[0], folder.rows[-1]
    for title, row in (("Before", first), ("After", last)):
        console.print(f"\n[bold]{title}[/] ({row['mean_reward']:.1f} periods a text)")
        for text in samples_of(folder.path, row["phase"])[:_SHOWN]:
            console.print("  " + escape(text), highlight=False)
    console.print(f"\nThe curve is in {folder.path / 'reward.png'}, every sample in {folder.path / 'samples.jsonl'}.")
    return folder


def samples_of(path: Path, phase: int) -> list[str]:
    """The texts that a run sampled in one phase, each as one line of words."""
    texts = [sample["text"] for sample in read_run(path).samples if sample["phase"] == phase]
    return [" ".join(without_special_tokens(text).split()) for text in texts]
