"""Wrong and right answers to `best_of_n_kl`."""

import math

import torch

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _require_texts(n):
    if n < 1:
        raise ValueError("no text")


def _kl(n):
    _require_texts(n)
    return math.log(n) - (n - 1) / n


@visible_mistake
def log_n(n):
    """That is log n, as if every chosen text were n times as likely; the divergence is less by (n - 1) / n."""
    _require_texts(n)
    return math.log(n)


@visible_mistake
def one_subtracted(n):
    """You subtract 1; subtract (n - 1) / n, which comes near 1 only for a large n."""
    _require_texts(n)
    return math.log(n) - 1


@visible_mistake
def reciprocal(n):
    """You subtract 1 / n; subtract (n - 1) / n, the share of the texts that are not chosen."""
    _require_texts(n)
    return math.log(n) - 1 / n


@visible_mistake
def added(n):
    """You add (n - 1) / n; subtract it: the divergence is less than log n."""
    _require_texts(n)
    return math.log(n) + (n - 1) / n


@visible_mistake(refused_with="has the wrong sign")
def turned_sign(n):
    """The sign is turned: a divergence is never negative."""
    return -_kl(n)


@visible_mistake
def bits(n):
    """You use the logarithm to base 2; use the natural one, which gives nats."""
    _require_texts(n)
    return math.log2(n) - (n - 1) / n


@visible_mistake
def base_10(n):
    """You use the logarithm to base 10; use the natural one, which gives nats."""
    _require_texts(n)
    return math.log10(n) - (n - 1) / n


@visible_mistake
def brackets_missing(n):
    """The brackets are missing: n - 1 / n is n minus a quotient; you need (n - 1) / n."""
    _require_texts(n)
    return math.log(n) - n - 1 / n


@visible_mistake
def divided_by_n_minus_1(n):
    """You subtract n / (n + 1); subtract (n - 1) / n, which is 0 for a single text."""
    _require_texts(n)
    return math.log(n) - n / (n + 1)


@visible_mistake
def not_the_logarithm(n):
    """The logarithm is missing: a KL divergence is a mean of log-ratios."""
    _require_texts(n)
    return (n - 1) / n


@visible_mistake(refused_with="should be a Python float; a Tensor came")
def tensor(n):
    """You return a tensor; the result is a Python float, since nothing is learnt from it."""
    return torch.tensor(_kl(n))


@visible_mistake(refused_with="should raise a ValueError; a result came")
def zero_below_one(n):
    """For n less than 1 you return 0; there is nothing to choose from, and that is a ValueError."""
    return _kl(max(n, 1))


@visible_mistake(refused_with="should raise a ValueError; it raised ZeroDivisionError")
def division_by_zero(n):
    """For n = 0 your code divides by zero, which is another error: raise a ValueError for every n less than 1."""
    share = (n - 1) / n
    return math.log(n) - share


@hidden_mistake
def one_text_refused(n):
    """A single text is refused."""
    if n <= 1:
        raise ValueError("too few")
    return _kl(n)


@hidden_mistake(refused_with="The divergence for a few texts")
def large_n_approximated(n):
    """The share is taken for 1, as it nearly is for a large n."""
    _require_texts(n)
    return max(0.0, math.log(n) - 1)


@hidden_mistake(refused_with="for very many texts")
def capped(n):
    """Above 20,000 texts, the divergence stays the same."""
    return _kl(min(n, 20_000))


@hidden_mistake(refused_with="for very many texts")
def capped_at_a_million(n):
    """Above a million texts, the divergence stays the same."""
    return _kl(min(n, 1_000_000))


@hidden_mistake
def harmonic(n):
    """The logarithm is approximated by a sum of reciprocals."""
    _require_texts(n)
    return sum(1 / k for k in range(2, min(n, 100_000) + 1)) - (n - 1) / n


@hidden_mistake
def fraction(n):
    """The result is an object of another type of number."""
    from fractions import Fraction

    return Fraction(_kl(n))


@hidden_mistake
def log1p(n):
    """The logarithm is that of n + 1."""
    _require_texts(n)
    return math.log1p(n) - (n - 1) / n


@hidden_mistake(refused_with="should raise a ValueError; it raised")
def asserts(n):
    """Another exception is raised for n less than 1."""
    assert n >= 1
    return _kl(n)


@hidden_mistake(refused_with="is right, but rounded to a few decimals")
def rounded(n):
    """The result is rounded to four decimals."""
    return round(_kl(n), 4)


@hidden_mistake(refused_with="for thousands of texts")
def approximated_from_a_thousand_on(n):
    """From 1,000 texts on, the share is taken for 1."""
    return _kl(n) if n < 1000 else math.log(n) - 1


@hidden_mistake
def quadrature(n):
    """The divergence is an integral over a grid, which is too coarse for many texts."""
    _require_texts(n)
    share = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    log_density = math.log(n) + (n - 1) * share.log()
    return float((log_density.exp() * log_density).mean())


@right_answer
def one_minus_reciprocal(n):
    _require_texts(n)
    return math.log(n) - 1 + 1 / n


@right_answer
def logarithm_raises(n):
    return math.log(n) - (n - 1) / n


@right_answer
def with_torch(n):
    _require_texts(n)
    exact = torch.tensor(n, dtype=torch.float64)
    return (exact.log() - (exact - 1) / exact).item()


@right_answer
def minus_log_of_the_reciprocal(n):
    if n <= 0:
        raise ValueError(n)
    share = 1 / n
    return share - 1 - math.log(share)


@right_answer
def other_base(n):
    _require_texts(n)
    return math.log2(n) * math.log(2) - (n - 1) / n
