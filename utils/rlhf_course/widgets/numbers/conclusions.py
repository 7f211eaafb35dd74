"""Describe in sentences what a run did, from its own metrics and samples."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rlhf_course.widgets.numbers.curves import by_phase
from rlhf_course.widgets.numbers.diversity import distinct, openings
from rlhf_course.widgets.numbers.strategies import generated, rates, rises

# A change below this share of the larger number is called small: the samples of one phase vary by about as much.
_SMALL = 0.1
# Mode collapse: this share of the texts starts with the same two words.
_COLLAPSE_SHARE = 0.5
# Repetition: of the triples of words in the texts, fewer than this share are different.
_FEW_TRIPLES = 0.2
_MIN_RISE = 0.1  # uses a text


class PhaseVariety(NamedTuple):
    """How the texts of a phase start.

    Attributes:
        texts: The number of texts.
        different: The number of different openings of two words.
        most_frequent: The opening that most texts have.
        share: The share of the texts that have it.
    """

    texts: int
    different: int
    most_frequent: str
    share: float


def phase_variety(samples: Sequence[Mapping[str, Any]], prefix: str) -> PhaseVariety:
    """Count the openings of a phase's samples."""
    counts = openings([generated(sample["text"], prefix) for sample in samples])
    most_frequent, number = counts.most_common(1)[0]
    return PhaseVariety(len(samples), len(counts), most_frequent, number / len(samples))


def collapsed(variety: PhaseVariety) -> bool:
    """Return whether more than half of the texts start with the same words."""
    return variety.share > _COLLAPSE_SHARE


def conclusions(rows: Sequence[Mapping[str, Any]], samples: Sequence[Mapping[str, Any]], prefix: str) -> list[str]:
    """Return sentences about a run: its reward, its KL, its texts' likelihood, their variety and their strategies.

    Args:
        rows: The run's metrics, a row for each phase.
        samples: The run's samples, each with `phase, reward, ref_logprob, text`.
        prefix: The prompt, which is left out of the texts.
    """
    phases = by_phase(samples)
    first, last = phases[0], phases[-1]
    triples = [distinct([generated(sample["text"], prefix) for sample in phase], 3) for phase in (first, last)]
    return [
        _reward_sentence(rows[0]["mean_reward"], rows[-1]["mean_reward"]),
        f"KL: it ended at {rows[-1]['kl']:.2f} nats a token; its largest was {max(row['kl'] for row in rows):.2f}.",
        _likelihood_sentence(*(statistics.fmean(sample["ref_logprob"] for sample in phase) for phase in (first, last))),
        _openings_sentence(phase_variety(first, prefix), phase_variety(last, prefix), triples[1]),
        _diversity_sentence(*triples),
        _strategies_sentence(samples, prefix),
    ]


def likelihood_change(before: float, after: float) -> str:
    """Compare two log-probabilities in words."""
    if _is_small(before, after):
        return "about as likely as"
    return "likelier than" if after > before else "less likely than"


def _is_small(before: float, after: float) -> bool:
    return abs(after - before) <= _SMALL * max(abs(before), abs(after))


def _reward_sentence(before: float, after: float) -> str:
    change = "hardly changed" if _is_small(before, after) else "rose" if after > before else "fell"
    factor = f", to {after / before:.1f} times its first value" if change != "hardly changed" and before > 0 else ""
    return f"Reward: the mean {change}, from {before:.2f} in the first phase to {after:.2f} in the last{factor}."


def _likelihood_sentence(before: float, after: float) -> str:
    return (
        f"Likelihood: under the reference, the last texts are {likelihood_change(before, after)} the first "
        f"(mean log-probability {after:.0f}, at first {before:.0f})."
    )


def _openings_sentence(before: PhaseVariety, after: PhaseVariety, triples: float) -> str:
    if collapsed(after):
        verdict = "this run collapsed to few openings"
    elif triples < _FEW_TRIPLES:
        # Rows of dots and quotes may all start differently, which is no variety.
        verdict = "the texts may start differently, but they repeat the same few words or signs"
    elif _is_small(before.different, after.different):
        verdict = "this run kept its openings"
    else:
        verdict = "this run lost openings" if after.different < before.different else "this run gained openings"
    return (
        f"Openings: {verdict}: {after.different} different openings in {after.texts} texts, at first "
        f"{before.different}. The most frequent, {after.most_frequent!r}, starts {after.share:.0%} of them."
    )


def _diversity_sentence(before: float, after: float) -> str:
    change = "hardly changed" if _is_small(before, after) else "rose" if after > before else "fell"
    return f"Diversity: the share of distinct triples of words {change}, from {before:.2f} to {after:.2f}."


def _strategies_sentence(samples: Sequence[Mapping[str, Any]], prefix: str) -> str:
    grown = [rise for rise in rises(rates(samples, prefix)) if rise.after - rise.before >= _MIN_RISE][:3]
    if not grown:
        return f"Strategies: none that is counted grew by {_MIN_RISE} uses a text or more."
    shown = ", ".join(f"{rise.name} ({rise.before:.2f} to {rise.after:.2f} uses a text)" for rise in grown)
    return f"Strategies that grew most: {shown}."
