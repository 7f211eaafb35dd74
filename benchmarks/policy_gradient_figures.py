"""Make of part 3's recorded figures a table, and the clauses that its notebooks hold.

`python benchmarks/policy_gradient_figures.py` prints both, and stores the pictures that the notebooks show. A test
compares the clauses with the notebooks: copy those that changed after a new measurement. A clause about a run is made
once all seeds have it.
"""

import json
import re
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from rlhf_course.files import write_text
from rlhf_course.notebook.messages import NUMBERS
from rlhf_course.notebook.messages import number_range as to
from rlhf_course.paths import REPOSITORY
from rlhf_course.widgets.numbers.policy_gradients import recorded_seeds
from rlhf_course.widgets.output import StaticOutput
from rlhf_course.widgets.policy_picture import draw_policy

OUTPUTS = REPOSITORY / "solutions/notebooks/outputs"
# The expected outputs that are pictures of the recorded seeds, with the name of each picture.
PICTURES = {
    "broken_band": "broken",
    "grpo_band": "grpo",
    "pass_at_k_band": "pass_at_k",
    "task_methods_band": "methods",
}
SEEDS = (1, 2, 3)
METHODS = {"grpo": "GRPO", "dr_grpo": "Dr. GRPO", "rloo": "RLOO", "expert_iteration": "expert iteration"}

TEACHING = REPOSITORY / "benchmarks/results/policy_gradient_teaching.json"
# The columns of the measured advantages: lambda is 0, 0.95 and 1.
_ZERO, _NEARLY_ONE, _ONE = 0, -2, -1
_CONTINUATIONS, _TOKENS = 64, 5
_AVERAGED = 64


def runs_of(name: str) -> list[dict[str, Any]]:
    """Return a run's figures in each seed that has them."""
    return [measured["runs"][name] for measured in recorded_seeds().values() if name in measured["runs"]]


def is_whole(*names: str) -> bool:
    """Return whether runs are recorded for all seeds."""
    return all(len(runs_of(name)) == len(SEEDS) for name in names)


def held_out_after(run: dict[str, Any], phase: int, kind: str = "sampled") -> float:
    """Return a run's held-out accuracy after a phase; phase 0 is the model that it started from."""
    points = run["held_out"]
    accuracy: float = points[kind][points["phase"].index(phase)]
    return accuracy


def _held_out(name: str, phase: int, kind: str = "sampled") -> str:
    return to([held_out_after(run, phase, kind) for run in runs_of(name)], ".0%")


def _in_phase(name: str, column: str, phase: int, form: str) -> str:
    """Return the range of a column in a phase, counted from 1; -1 is the last."""
    return to([run[column][phase - 1 if phase > 0 else phase] for run in runs_of(name)], form)


def _number_of(name: str) -> str:
    return NUMBERS[len(runs_of(name))]


def first_below(values: Sequence[float], bound: float) -> int:
    """Return the phase, counted from 1, from which on all values are below a bound."""
    above = [phase for phase, value in enumerate(values, 1) if value >= bound]
    return above[-1] + 1 if above else 1


def broken_clauses() -> list[str]:
    """Return what notebook 16 states about runs on the broken verifier."""
    name = "broken_verifier"
    turned = [first_below(run["accuracy"], 0.1) for run in runs_of(name)]
    return [
        f"{_number_of(name).capitalize()} runs with different seeds had a mean reward of "
        f"{_in_phase(name, 'reward', 1, '.2f')} in the first phase and {_in_phase(name, 'reward', -1, '.2f')} in the "
        f"last. The share of completions that were right was {_in_phase(name, 'accuracy', 1, '.0%')} in the first "
        f"phase and {_in_phase(name, 'accuracy', -1, '.1%')} in the last.",
        f"The last phase in which it was 10% or more was phase {to([phase - 1 for phase in turned], 'd')}.",
    ]


def five_digit_clauses() -> list[str]:
    """Return what notebook 17 states about five digits."""
    name = "five_digits"
    return [
        f"{_number_of(name).capitalize()} runs on five digits started from a model of which "
        f"{_held_out(name, 0)} of the samples were right. In the first ten phases "
        f"{to([fmean(run['mixed_groups'][:10]) for run in runs_of(name)], '.0%')} of the groups were mixed.",
        f"After 20 phases {_held_out(name, 20)} of the samples were right, and after 50 phases {_held_out(name, 50)}.",
    ]


def even_clauses() -> list[str]:
    """Return what notebook 17 states about the second task."""
    name = "even"
    return [
        f"On the even digits of a prompt, with the same settings, {_number_of(name)} runs started with "
        f"{_held_out(name, 0)} right samples on held-out prompts, and after 30 phases "
        f"{_held_out(name, 30)} were right.",
    ]


def grpo_clauses() -> list[str]:
    """Return what notebook 17 states about GRPO with the right verifier, and with the broken one."""
    name, broken = "grpo", "broken_verifier"
    return [
        f"{_number_of(name).capitalize()} runs with different seeds started with {_held_out(name, 0)} right samples "
        f"on held-out prompts, and {_held_out(name, 0, 'greedy')} with the likeliest tokens. After 20 phases it was "
        f"{_held_out(name, 20)} and {_held_out(name, 20, 'greedy')}, and after 50 phases {_held_out(name, 50)} and "
        f"{_held_out(name, 50, 'greedy')}.",
        f"In the first phase the entropy was {_in_phase(name, 'entropy', 1, '.2f')} nats a token and the share of "
        f"mixed groups {_in_phase(name, 'mixed_groups', 1, '.0%')}, and in the last they were "
        f"{_in_phase(name, 'entropy', -1, '.2f')} and {_in_phase(name, 'mixed_groups', -1, '.0%')}.",
        f"In phase 8 of {_number_of(broken)} runs the mean reward was {_in_phase(broken, 'reward', 8, '.2f')}, and "
        f"{_in_phase(broken, 'accuracy', 8, '.0%')} of the completions were right.",
    ]


def pass_clauses() -> list[str]:
    """Return what notebook 17 states about pass@k."""
    found = [measured["pass_at_k"] for measured in recorded_seeds().values()]

    def passes(name: str, k: int) -> str:
        return to([measured[name][measured["k"].index(k)] for measured in found], ".2f")

    return [
        f"For {NUMBERS[len(found)]} seeds pass@1 was {passes('sft', 1)} before GRPO and {passes('grpo', 1)} after 50 "
        f"phases of it; pass@16 was {passes('sft', 16)} before and {passes('grpo', 16)} after.",
    ]


def method_clauses() -> list[str]:
    """Return what notebook 17 states about the methods at the same number of sampled tokens."""
    ends = [
        f"{to([run['held_out']['sampled'][-1] for run in runs_of(name)], '.0%')} for {label}"
        for name, label in METHODS.items()
    ]
    return [
        f"At the end of {_number_of('rloo')} runs of each method, the held-out accuracy of samples was "
        f"{', '.join(ends[:-1])}, and {ends[-1]}.",
    ]


def measurements(name: str) -> list[Any]:
    """Return what policy_gradient_teaching.py measured with each seed."""
    return list(json.loads(TEACHING.read_text())[name].values())


def recorded_shares() -> dict[str, dict[int, float]]:
    """Return what the cell of notebook 14 printed: for each critic the explained share at some tokens."""
    text = (OUTPUTS / "critics_explained.txt").read_text()
    names = {"fresh": "new head", "state": "fitted", "count": "fitted, counts"}
    lines = {critic: re.search(rf"^{name} +token (.*)$", text, re.MULTILINE) for critic, name in names.items()}
    return {
        critic: {int(token): float(share) for token, share in re.findall(r"(\d+): +(-?[\d.]+)", line[1])}
        for critic, line in lines.items()
        if line
    }


def critic_clauses() -> list[str]:
    """Return what notebook 14 states about the worth of critics, and about the advantages that they give."""
    seeds = measurements("critics")

    def explained(critic: str, token: int) -> str:
        # No range of the text may leave out what the cell above it prints.
        shares = [recorded_shares()[critic][token], *(seed["explained"][critic][token - 1] for seed in seeds)]
        return to([round(share, 2) + 0.0 for share in shares], ".2f")  # no "−0.00"

    def errors(critic: str, figure: str, column: int) -> str:
        return to([seed["errors"][critic][figure][column] for seed in seeds], ".2f")

    def averaged(critic: str, column: int) -> str:
        """Return the squared error of a mean of so many estimates."""
        errors_of = [seed["errors"][critic] for seed in seeds]
        squares = [found["bias"][column] ** 2 + found["deviation"][column] ** 2 / _AVERAGED for found in errors_of]
        return to(squares, ".3f")

    return [
        f"Here and with {NUMBERS[len(seeds)]} seeds, the critic that counts explained {explained('count', 6)} of the "
        f"variance at the sixth token, {explained('count', 12)} at the twelfth, {explained('count', 18)} at the "
        f"eighteenth and {explained('count', 24)} at the last.",
        f"The critic that is fitted to the residual stream alone explained {explained('state', 12)} at the twelfth and "
        f"{explained('state', 24)} at the last. New heads explained {explained('fresh', 12)} at the twelfth and "
        f"{explained('fresh', 24)} at the last.",
        f"the means of the five tokens themselves had a standard deviation of "
        f"{to([_spread(seed['errors']) for seed in seeds], '.2f')}.",
        f"With $\\lambda = 0$ the bias was {errors('fresh', 'bias', _ZERO)} for a new head, "
        f"{errors('state', 'bias', _ZERO)} for the fitted critic and {errors('count', 'bias', _ZERO)} for the one that "
        "counts.",
        f"With $\\lambda = 0.95$ it was {errors('fresh', 'bias', _NEARLY_ONE)}, "
        f"{errors('state', 'bias', _NEARLY_ONE)} and {errors('count', 'bias', _NEARLY_ONE)}, and the standard "
        f"deviation of a single estimate was {errors('fresh', 'deviation', _NEARLY_ONE)}, "
        f"{errors('state', 'deviation', _NEARLY_ONE)} and {errors('count', 'deviation', _NEARLY_ONE)}.",
        f"With $\\lambda = 1$ there was no bias, and the standard deviation was {errors('count', 'deviation', _ONE)} "
        "for all three.",
        f"of the critic that counts has an expected squared error of {averaged('count', _ZERO)} with $\\lambda = 0$, "
        f"{averaged('count', _NEARLY_ONE)} with 0.95 and {averaged('count', _ONE)} with 1; that of a new head "
        f"{averaged('fresh', _ZERO)}, {averaged('fresh', _NEARLY_ONE)} and {averaged('fresh', _ONE)}.",
    ]


def _spread(errors: dict[str, Any]) -> float:
    """Return the standard deviation of the tokens' mean rewards, without the noise of finitely many continuations."""
    noise = errors["count"]["deviation"][_ONE] ** 2 / _CONTINUATIONS * (1 - 1 / _TOKENS)
    return float((errors["tokens"]["spread"][0] ** 2 - noise) ** 0.5)


def far_estimator_clauses() -> list[str]:
    """Return what notebook 14 states about estimators of the KL far from the reference."""
    seeds = measurements("far_estimators")

    def over(figure: str, form: str = ".2f") -> str:
        return to([seed[figure] for seed in seeds], form)

    return [
        f"For {NUMBERS[len(seeds)]} policies that had moved further, to {over('kl')} nats a token, $k_3$ in the loss "
        f"had a cosine of {over('k3_loss_expected')} and {over('k3_loss_relative_norm')} times the norm of the exact "
        f"gradient, and $k_3$ in the reward a cosine of {over('k3_reward_expected')} and "
        f"{over('k3_reward_relative_norm')} times the norm.",
        f"With one sampled token at each position, the cosine of $k_3$ in the loss was {over('k3_loss_sampled')}, that "
        f"of $k_2$ in the loss {over('k2_loss_sampled')}.",
    ]


def fine_tuning_clauses() -> list[str]:
    """Return what notebook 15 states about fine-tuning with and without the end-of-text token, and with the prompt."""
    with_end, without, with_prompt = (
        measurements(f"fine_tuning{variant}") for variant in ("", "_without_end", "_with_prompt")
    )

    def share(seeds: list[Any], figure: str, step: int = 30, form: str = ".0%") -> str:
        return to([seed[figure][step // 5] for seed in seeds], form)

    assert not any(seed["sampled_right"][10 // 5] for seed in with_end)

    number = NUMBERS[len(with_end)]
    return [
        f"In {number} runs, {share(with_end, 'sampled_ended', 10)} of the sampled completions ended after 10 steps, "
        f"and none was right; after 20 steps {share(with_end, 'greedy_right', 20)} of the greedy ones were right, and "
        f"after 30 steps {share(with_end, 'greedy_right')}.",
        f"Sampled, {share(with_end, 'sampled_right')} were right after 30 steps.",
        f"In {number} runs without it, {share(without, 'sampled_ended')} of the sampled completions ended, and "
        f"{share(without, 'greedy_right')} of the greedy ones were right, although "
        f"{share(without, 'greedy_digits')} began with the right four digits.",
        f"In {number} runs whose loss also held the tokens of the prompt, {share(with_prompt, 'greedy_right')} of the "
        f"greedy completions were right after 30 steps, and {share(with_prompt, 'sampled_right', 30, '.1%')} of the "
        "sampled ones.",
    ]


def table() -> str:
    """Return the figures of each seed as text."""
    lines = []
    for seed, measured in recorded_seeds().items():
        lines.append(f"seed {seed} ({measured['machine']['cpu']}, {measured['machine']['threads']} thread)")
        lines += [f"  {name}: {_run_text(run)}" for name, run in measured["runs"].items()]
        passed = measured["pass_at_k"]
        for name in [name for name in passed if name != "k"]:
            shares = ", ".join(f"{k}: {share:.3f}" for k, share in zip(passed["k"], passed[name], strict=True))
            lines.append(f"  pass@k of {name}: {shares}")
    return "\n".join(lines)


def _run_text(run: dict[str, Any]) -> str:
    held_out = run["held_out"]
    points = ", ".join(
        f"{phase}: {sampled:.0%} ({greedy:.0%})"
        for phase, sampled, greedy in zip(held_out["phase"], held_out["sampled"], held_out["greedy"], strict=True)
    )
    parts = [f"held out, sampled (greedy), after phase {points}"]
    for name in ("reward", "accuracy", "mixed_groups", "entropy", "length"):
        if values := run.get(name):
            parts.append(f"{name} {values[0]:.2f} to {values[-1]:.2f}")
    if run["tokens"]:
        parts.append(f"{run['tokens'][-1]} tokens")
    parts.append(f"{run['seconds']:.0f} s, {run['processor_seconds']:.0f} s of processor, load {run['load']:.1f}")
    return "; ".join(parts)


def clauses() -> dict[str, list[str]]:
    """Return for each notebook the clauses that it holds."""
    groups = [
        *(five_digit_clauses() if is_whole("five_digits") else []),
        *(even_clauses() if is_whole("even") else []),
        *(grpo_clauses() if is_whole("grpo", "broken_verifier") else []),
        *(pass_clauses() if is_whole("sft", "grpo") else []),
        *(method_clauses() if is_whole(*METHODS) else []),
    ]
    taught = {"14_critics": critic_clauses() + far_estimator_clauses(), "15_fine_tuning": fine_tuning_clauses()}
    return taught | {"16_verifiers": broken_clauses() if is_whole("broken_verifier") else [], "17_groups": groups}


def write_pictures() -> None:
    """Store the pictures as the outputs that the notebooks show before their cells run."""
    for output, name in PICTURES.items():
        picture = draw_policy(name)
        static = StaticOutput(picture.png_html(), picture.alt)
        write_text(OUTPUTS / f"{output}.html", static.mime_bundle()["text/html"] + "\n")


def main() -> None:
    """Store the pictures, and print the table and the clauses."""
    write_pictures()
    print(table())
    for stem, texts in clauses().items():
        print(stem, *texts, sep="\n   ")


if __name__ == "__main__":
    main()
