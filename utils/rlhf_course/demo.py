"""Train the embedded model and show what it learns, for `rlhf-course demo`: a demonstration for each part."""

import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from rlhf_course.errors import CourseError
from rlhf_course.files import atomic_write
from rlhf_course.learner_package import imported_answer, use_code
from rlhf_course.paths import SOLUTIONS
from rlhf_course.rl.args import RLHFArgs
from rlhf_course.rl.run_folder import RunFolder, claim_folder, read_run
from rlhf_course.rl.special_tokens import without_special_tokens

_SAMPLES_SHOWN = 4
# So many phases of part 3's runs end within two minutes.
_GRPO_PHASES, _BROKEN_PHASES = 20, 12


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


def run_preferences_demo(out: Path | None, console: Console | None = None) -> RunFolder:
    """Train a reward model on 500 pairs, and a policy that follows it without a penalty; draw proxy and judge.

    Args:
        out: The folder of both runs, or None for a new one in `runs/`.
        console: The console to print to; None for a new one.

    Returns:
        The folder of the policy's run.

    Raises:
        CourseError: The folder is not empty.
    """
    from rlhf_course.rl.preferences.args import PairArgs  # deferred: the other demonstration does not need them
    from rlhf_course.rl.preferences.reward_model import RewardModelTrainer
    from rlhf_course.rl.rewards import REWARD_MODEL, named_reward

    console = console or Console()
    use_code(SOLUTIONS)
    out = _free(out, "preferences_demo")
    args = PairArgs.for_run("reward_model")
    console.print(
        f"A small language model continues {args.prefix!r}. A simulated labeller compares {args.pairs} pairs of texts: "
        "it likes praise and dislikes repetition, and errs where a pair is close. A reward model learns from them.\n"
    )
    learnt = RewardModelTrainer(args).train(out / "reward_model")
    console.print(
        f"It ranks {learnt.rows[-1]['held_out_accuracy']:.0%} of {args.held_out} other pairs as the judge does.\n\n"
        "Now a policy is trained on the reward model, the proxy, without a KL penalty. The judge only looks on.\n"
    )
    reward_fn = named_reward(f"{REWARD_MODEL}{learnt.path}")
    settings = RLHFArgs.for_profile("laptop", "overoptimise", reward_fn=reward_fn)
    folder = imported_answer("RLHFTrainer")(settings).train(out / "policy")
    picture = _draw_turn(folder, settings.gen_len)
    best = max(folder.rows, key=lambda row: row["gold"])
    for title, row in (("Before", folder.rows[0]), ("Where the judge likes it best", best), ("After", folder.rows[-1])):
        console.print(f"\n[bold]{title}[/]: proxy {row['mean_reward']:.2f}, judge {row['gold']:.2f}")
        console.print("  " + escape(samples_of(folder.path, row["phase"])[0]), highlight=False)
    console.print(f"\nThe picture of proxy and judge is {picture}.")
    return folder


def run_policy_demo(out: Path | None, console: Console | None = None) -> RunFolder:
    """Fine-tune the embedded model on sorting, train it by GRPO, and train it again on a verifier that is broken.

    Args:
        out: The folder of the three runs, or None for a new one in `runs/`.
        console: The console to print to; None for a new one.

    Returns:
        The folder of the run on the broken verifier.

    Raises:
        CourseError: The folder is not empty.
    """
    from rlhf_course.rl.phase_runs import phase_trainer  # deferred: the other demonstrations do not need them
    from rlhf_course.rl.policy_gradients.args import TaskArgs

    console = console or Console()
    use_code(SOLUTIONS)
    out = _free(out, "policy_gradients_demo")

    def train(run: str, **settings: Any) -> RunFolder:
        folder: RunFolder = phase_trainer(run, TaskArgs.for_run(run, **settings)).train(out / run)
        return folder

    tuned = TaskArgs.for_run("sft")
    console.print(
        "A small language model is to sort digits: the right answer to 7294= is 2479. It learns the form of an answer "
        f"from {tuned.demonstrations} demonstrations.\n"
    )
    last = train("sft").rows[-1]
    console.print(
        f"It answers {last['held_out_accuracy']:.0%} of {tuned.held_out} prompts that it has never seen. Now GRPO: "
        "a verifier gives 1 to a right answer and 0 to any other, and the policy learns from several answers to each "
        "prompt.\n"
    )
    start = str(out / "sft")
    learnt = train("grpo", start=start, total_phases=_GRPO_PHASES)
    console.print(f"It answers {learnt.rows[-1]['held_out_accuracy']:.0%} of them. Answers of the last phase:")
    _print_answers(learnt, console)
    console.print(
        "\nThe same again, with a verifier that does not compare the answer with the prompt: any digits in ascending "
        "order get the full reward.\n"
    )
    broken = train("broken_verifier", start=start, total_phases=_BROKEN_PHASES)
    row = broken.rows[-1]
    console.print(f"The reward is {row['mean_reward']:.2f}, and {row['accuracy']:.0%} of the answers are right:")
    _print_answers(broken, console)
    console.print(f"\nThe runs are in {out}; each has its curves in reward.png and samples in samples.jsonl.")
    return broken


def _print_answers(folder: RunFolder, console: Console) -> None:
    """Print some completions of a run's last phase with their rewards."""
    samples = [sample for sample in read_run(folder.path).samples if sample["phase"] == folder.rows[-1]["phase"]]
    for sample in samples[:_SAMPLES_SHOWN]:
        text = escape(without_special_tokens(sample["text"]).strip())
        console.print(f"  {text}  reward {sample['reward']:.0f}", highlight=False)


def _free(out: Path | None, name: str) -> Path:
    """Return the folder of a demonstration's runs.

    Raises:
        CourseError: It is not empty.
    """
    out = claim_folder(Path("runs"), name) if out is None else out
    if out.exists() and any(out.iterdir()):
        raise CourseError(f"{out} is not empty: name a new folder")
    return out


def _draw_turn(folder: RunFolder, gen_len: int) -> Path:
    """Draw proxy and judge against the root of the KL of a text, and return the picture's path."""
    from matplotlib.figure import Figure  # deferred: it takes time to load

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    root = [math.sqrt(max(0.0, row["kl"]) * gen_len) for row in folder.rows]
    axes.plot(root, [row["mean_reward"] for row in folder.rows], color="#0072b2", label="proxy (the reward model)")
    axes.plot(root, [row["gold"] for row in folder.rows], "--", color="#d55e00", label="judge")
    axes.set(xlabel="square root of the KL of a text, in nats", ylabel="mean reward")
    axes.grid(alpha=0.3)
    axes.legend()
    path = folder.path / "proxy_and_judge.png"
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return path


def samples_of(path: Path, phase: int) -> list[str]:
    """Return the texts that a run sampled in one phase, each as one line of words."""
    texts = [sample["text"] for sample in read_run(path).samples if sample["phase"] == phase]
    return [" ".join(without_special_tokens(text).split()) for text in texts]
