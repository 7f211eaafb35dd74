"""Make of part 2's recorded figures a table, and the clauses that notebooks 10 to 13 hold.

`python benchmarks/preference_figures.py` prints both, and stores the pictures that the notebooks show. A test compares
the clauses with the notebooks: copy those that changed after a new measurement.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any, NamedTuple

from rlhf_course.files import write_text
from rlhf_course.notebook.messages import NUMBERS
from rlhf_course.notebook.messages import number_range as to
from rlhf_course.paths import REPOSITORY
from rlhf_course.widgets.numbers.preferences import recorded_seeds, smoothed
from rlhf_course.widgets.output import StaticOutput
from rlhf_course.widgets.preference_picture import draw_preferences

OUTPUTS = REPOSITORY / "solutions/notebooks/outputs"
# The expected outputs that are pictures of the recorded seeds, with the name of each picture.
PICTURES = {
    "calibration_band": "calibration",
    "accuracy_by_pairs": "pairs",
    "overoptimisation_band": "overoptimisation",
    "bare_classifier": "classifier",
    "dpo_band": "dpo",
    "methods_band": "methods",
}
OF_THE_README = "overoptimisation"

# Where notebook 13 compares the methods: the KL of a text, in nats, and the step of DPO that comes near it.
NEAR, DPO_STEP = (3, 5), 8
# The phases of the run with a penalty that notebook 12 makes.
PHASES_WITH_PENALTY = 25


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


def _of_seeds(*path: str) -> list[Any]:
    """Return what each seed has at a path of keys; seeds without its first key are left out."""
    found: list[Any] = []
    for measured in recorded_seeds().values():
        if path[0] in measured:
            value = measured
            for key in path:
                value = value[key]
            found.append(value)
    return found


def reward_model_clauses() -> list[str]:
    """Return what notebook 11 states about reward models."""
    accuracies, labels = (_of_seeds("reward_model", name) for name in ("held_out_accuracy", "labels_agree"))
    surest = [bins[-1] for bins in _of_seeds("reward_model", "calibration")]
    said, labeller, judge = ([part[name] for part in surest] for name in ("said", "labeller", "judge"))
    sizes = _of_seeds("accuracy_by_pairs", "sizes")
    few, own = (_of_seeds("accuracy_by_pairs", name) for name in ("few_whole", "few_own_pairs"))
    number = NUMBERS[len(sizes)]

    def of_size(size: str, model: str) -> str:
        return to([found[size][model] for found in sizes], ".0%")

    return [
        f"{NUMBERS[len(accuracies)].capitalize()} reward models with different seeds ranked "
        f"{to(accuracies, '.0%')} of 500 held-out pairs as the judge does.",
        f"The simulated labeller itself agrees with the judge in {to(labels, '.0%')} of such pairs.",
        f"In the pairs in which these models said more than 0.9 ({to(said, '.2f')} on average), the judge agreed in "
        f"{to(judge, '.0%')} of the pairs, and the labeller in {to(labeller, '.0%')}.",
        f"From 64 pairs, {number} linear heads ranked {of_size('64', 'linear')} of the held-out pairs rightly, and "
        f"{number} whole models {of_size('64', 'whole')} after two passes over the pairs.",
        f"After four passes whole models ranked {to(own, '.0%')} of the pairs of the last step rightly, and "
        f"{to(few, '.0%')} of the held-out ones.",
        f"From 2,000 pairs, the whole models reached {of_size('2000', 'whole')}, and the linear heads "
        f"{of_size('2000', 'linear')}.",
    ]


def best_of_n_clauses() -> list[str]:
    """Return what notebook 12 states about best of n."""
    measured = _of_seeds("best_of_n")

    def gold(n: int) -> str:
        return to([found["gold"][found["n"].index(n)] for found in measured], ".1f")

    return [
        f"With {NUMBERS[len(measured)]} reward models, and over all ways to choose n of 4,096 texts, the judge's mean "
        f"reward was {gold(1)} for one text, {gold(16)} for the best of 16, {gold(256)} for the best of 256, and "
        f"{gold(1024)} for the best of 1,024.",
    ]


def turn_clauses() -> list[str]:
    """Return what notebook 12 states about the policies without a KL penalty."""
    found = turns("without")
    number = NUMBERS[len(found)]
    later = sum(run.delay > 0 for run in found)
    return [
        f"In {'all ' + number if later == len(found) else f'{NUMBERS[later]} of {number}'} runs with different reward "
        f"models, the proxy's largest reward came after the judge's: {to([run.delay for run in found], 'd')} phases "
        "later.",
        f"The judge's largest mean reward was {to([run.best for run in found], '.1f')}, at a KL of "
        f"{to([run.best_kl for run in found], '.0f')} nats a text; in the last phase it was "
        f"{to([run.last for run in found], '.1f')}, at a KL of {to([run.last_kl for run in found], '.0f')} nats.",
        f"The proxy's mean reward began between {to([run.first_proxy for run in found], '.1f', 'and')}, and ended "
        f"between {to([run.last_proxy for run in found], '.1f', 'and')}.",
    ]


def penalty_clauses() -> list[str]:
    """Return what notebook 12 states about the policies with a KL penalty."""
    found, curves = turns("with"), _of_seeds("policies", "with")
    shares = [_share_kept(curve) for curve in curves]

    def after(name: str, form: str) -> str:
        return to([curve[name][PHASES_WITH_PENALTY - 1] for curve in curves], form)

    return [
        f"With `kl_coef=0.3`, {NUMBERS[len(found)]} runs of 45 phases ended at a KL of "
        f"{to([run.last_kl for run in found], '.0f')} nats a text, with a judge's mean reward of "
        f"{to([run.last for run in found], '.1f')}.",
        f"After {PHASES_WITH_PENALTY} phases, as many as here, the KL was {after('kl', '.0f')} nats and the judge's "
        f"mean reward {after('gold', '.1f')}.",
        f"The judge's mean reward over the last five phases was {to(shares, '.0%')} of its largest over five phases. "
        f"In the last phase alone it was {to([run.share_kept for run in found], '.0%')} of its largest in one phase.",
    ]


def classifier_clauses() -> list[str]:
    """Return what notebook 12 states about the bare classifier."""
    curves = [curve["classifier"] for curve in _of_seeds("policies", "without")]
    found = [turn({**curve, "gold": curve["classifier"]}) for curve in _of_seeds("policies", "without")]
    kept = sum(run.share_kept > 0.75 for run in found)
    return [
        f"Under the bare classifier, the largest mean reward of these {NUMBERS[len(found)]} runs was "
        f"{to([max(curve) for curve in curves], '.1f')}, and the last one "
        f"{to([curve[-1] for curve in curves], '.1f')}; {NUMBERS[kept]} of the runs ended with more than three "
        "quarters of their largest.",
    ]


def dpo_clauses() -> list[str]:
    """Return what notebook 13 states about DPO."""
    runs = _of_seeds("dpo")
    paths = [run["path"] for run in runs]

    def last(name: str, form: str) -> str:
        return to([run[f"held_out_{name}"] for run in runs], form)

    return [
        f"{NUMBERS[len(runs)].capitalize()} runs ended with a mean log-ratio of the held-out chosen texts of "
        f"{last('chosen_log_ratio', '.0f')} nats, and of the rejected ones of {last('rejected_log_ratio', '.0f')}.",
        f"They ranked {last('accuracy', '.0%')} of the held-out pairs rightly.",
        f"The judge's mean reward of what they sample was {to([path['gold'][-1] for path in paths], '.1f')}, at a "
        f"KL of {to([path['kl'][-1] for path in paths], '.0f')} nats a text.",
    ]


def method_clauses() -> list[str]:
    """Return what notebook 13 states about best of n, PPO and DPO at the same KL, and about their largest rewards."""
    best, curves, held = _of_seeds("best_of_n"), _of_seeds("policies", "without"), _of_seeds("policies", "with")
    paths = [run["path"] for run in _of_seeds("dpo")]
    chosen = [found["gold"][found["n"].index(256)] for found in best]
    near, near_held = ([_mean_between(curve, *NEAR) for curve in found] for found in (curves, held))
    point = paths[0]["step"].index(DPO_STEP)
    return [
        f"At a KL of about 4 nats the judge's mean reward was {to(chosen, '.1f')} for the best of 256 texts, "
        f"{to(near, '.1f')} for the policies without a penalty and {to(near_held, '.1f')} for those with one "
        f"(phases with {NEAR[0]} to {NEAR[1]} nats), and "
        f"{to([path['gold'][point] for path in paths], '.1f')} for DPO after {DPO_STEP} steps, at "
        f"{to([path['kl'][point] for path in paths], '.1f')} nats.",
        f"The largest mean reward on the way was {to([max(curve['gold']) for curve in curves], '.1f')} for the "
        f"policies without a penalty, {to([max(path['gold']) for path in paths], '.1f')} for DPO, and "
        f"{to([max(found['gold']) for found in best], '.1f')} for the best of up to 1,024 texts.",
    ]


def _mean_between(curve: dict[str, list[float]], low: float, high: float) -> float:
    """Return the judge's mean reward in the phases whose KL of a text lies between two numbers."""
    return fmean(gold for kl, gold in zip(curve["kl"], curve["gold"], strict=True) if low <= kl <= high)


def clauses() -> dict[str, list[str]]:
    """Return for each notebook of part 2 the clauses that it holds."""
    return {
        "11_reward_model": reward_model_clauses(),
        "12_following_it_too_far": best_of_n_clauses() + turn_clauses() + penalty_clauses() + classifier_clauses(),
        "13_dpo": dpo_clauses() + method_clauses(),
    }


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
                f"after the judge's; over five phases {_share_kept(curve):.2f} of its best; bare classifier "
                f"{_top_and_last(curve['classifier'])}"
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


def _share_kept(curve: dict[str, list[float]]) -> float:
    """Return the judge's mean reward over the last five phases, as a share of the largest over five phases."""
    means = smoothed(curve["gold"])
    return means[-1] / max(means)


def _top_and_last(values: Sequence[float]) -> str:
    return f"{max(values):.2f}, at the end {values[-1]:.2f}"


def _sizes(sizes: dict[str, Any]) -> str:
    return ", ".join(
        f"{size}: {found['whole']:.3f} whole, {found['linear']:.3f} linear" for size, found in sizes.items()
    )


def write_pictures() -> None:
    """Store the pictures as the outputs that the notebooks show before their cells run, and the README's as a file."""
    for output, name in PICTURES.items():
        picture = draw_preferences(name)
        if name == OF_THE_README:
            (REPOSITORY / f"benchmarks/results/{name}.png").write_bytes(picture.png)
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
