"""Make of part 2's recorded figures a table, and the clauses that notebooks 10 to 13 hold.

`python benchmarks/notebook_figures.py` prints the clauses, `python benchmarks/preferences.py --show` the table.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rlhf_course.widgets.numbers.preferences import recorded_seeds


class Turn(NamedTuple):
    """Where the judge's reward of a policy is largest, where the proxy's is, and where both end.

    Attributes:
        best: The judge's largest mean reward.
        best_phase: Its phase, counted from 1.
        best_kl: The KL of a text there, in nats.
        proxy_phase: The phase of the proxy's largest mean reward.
        last: The judge's mean reward in the last phase.
        last_kl: The KL there.
        first_proxy, last_proxy: The proxy's mean reward in the first and in the last phase.
    """

    best: float
    best_phase: int
    best_kl: float
    proxy_phase: int
    last: float
    last_kl: float
    first_proxy: float
    last_proxy: float

    @property
    def delay(self) -> int:
        """How many phases after the judge's largest reward the proxy's comes."""
        return self.proxy_phase - self.best_phase

    @property
    def share_kept(self) -> float:
        """The judge's last reward, as a share of its largest."""
        return self.last / self.best


def turn(curve: dict[str, list[float]]) -> Turn:
    """Return the turn of a policy's curve."""
    gold, proxy, kl = (curve[name] for name in ("gold", "proxy", "kl"))
    best, highest = gold.index(max(gold)), proxy.index(max(proxy))
    return Turn(gold[best], best + 1, kl[best], highest + 1, gold[-1], kl[-1], proxy[0], proxy[-1])


def turns(penalty: str) -> list[Turn]:
    """Return the turn of each seed's policy "without" or "with" a KL penalty."""
    return [turn(seed["policies"][penalty]) for seed in recorded_seeds().values()]


def table() -> str:
    """Return the figures of each seed as text."""
    lines = []
    for seed, measured in recorded_seeds().items():
        reward_model, best, dpo = (measured[name] for name in ("reward_model", "best_of_n", "dpo"))
        lines.append(f"seed {seed}: held-out accuracy {reward_model['held_out_accuracy']:.3f}")
        for penalty, curve in measured["policies"].items():
            found = turn(curve)
            lines.append(
                f"  {penalty} a penalty: the judge's best {found.best:.2f} in phase {found.best_phase} (KL "
                f"{found.best_kl:.1f}), at the end {found.last:.2f} (KL {found.last_kl:.1f}), {found.share_kept:.2f} "
                f"of its best; proxy {found.first_proxy:.2f} to {found.last_proxy:.2f}, largest {found.delay} phases "
                f"after the judge's; bare classifier {_top_and_last(curve['classifier'])}"
            )
        lines.append(
            "  best of n: " + ", ".join(f"{n}: {gold:.2f}" for n, gold in zip(best["n"], best["gold"], strict=True))
        )
        lines.append(
            f"  DPO: accuracy {dpo['held_out_accuracy']:.3f}, log-ratios {dpo['held_out_chosen_log_ratio']:.1f} and "
            f"{dpo['held_out_rejected_log_ratio']:.1f}, judge {dpo['path']['gold'][-1]:.2f} at KL "
            f"{dpo['path']['kl'][-1]:.1f}"
        )
        if sizes := measured.get("accuracy_by_pairs"):
            lines.append("  pairs: " + _sizes(sizes["sizes"]) + f"; 4 passes over 64: {sizes['few_whole']:.3f}")
    return "\n".join(lines)


def _top_and_last(values: Sequence[float]) -> str:
    return f"{max(values):.2f}, at the end {values[-1]:.2f}"


def _sizes(sizes: dict[str, Any]) -> str:
    return ", ".join(
        f"{size}: {found['whole']:.3f} whole, {found['linear']:.3f} linear" for size, found in sizes.items()
    )
