"""Estimate how often at least one of several completions is right."""

from math import comb

from rlhf_course.errors import CourseError


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Return an unbiased estimate of the probability that at least one of k completions of a prompt is right.

    It is 1 - C(samples - right, k) / C(samples, k): the share of all choices of k samples that hold a right one. The
    plain 1 - (1 - right / samples) ** k is biased.

    Args:
        samples: How many completions were sampled.
        right: How many of them are right.
        k: How many completions one may hand in.

    Raises:
        CourseError: A number is out of its range.

    Source: Chen et al. 2021, Evaluating large language models trained on code, eq. 1.
    """
    if not (1 <= k <= samples and 0 <= right <= samples):
        raise CourseError(f"pass_at_k takes 1 <= k <= samples and 0 <= right <= samples, got {samples}, {right}, {k}")
    return 1 - comb(samples - right, k) / comb(samples, k)
