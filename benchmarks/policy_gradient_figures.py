"""Make of part 3's recorded figures a table."""

from typing import Any

from rlhf_course.widgets.numbers.policy_gradients import recorded_seeds


def table() -> str:
    """Return the figures of each seed as text."""
    lines = []
    for seed, measured in recorded_seeds().items():
        lines.append(f"seed {seed} ({measured['machine']['cpu']}, {measured['machine']['threads']} thread)")
        lines += [f"  {name}: {_run_text(run)}" for name, run in measured["runs"].items()]
        passed = measured["pass_at_k"]
        for name in passed.keys() - {"k"}:
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
