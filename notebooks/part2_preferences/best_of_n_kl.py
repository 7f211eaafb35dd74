"""How far best-of-n sampling moves away from the model that it samples from."""

import math


def best_of_n_kl(n: int) -> float:
    """log n - (n - 1) / n: the KL divergence of the best of n texts from the model that wrote them, in nats.

    It is exact if no two texts have the same reward and each single text is very unlikely; otherwise it is an upper
    bound.

    Args:
        n: the number of texts from which the best one is chosen, up to a million and more.

    Returns: a Python float; 0 for a single text.

    Raises:
        ValueError: `n` is less than 1.

    Source: Stiennon et al. 2020, Learning to summarize from human feedback, appendix G.3; that it is an upper bound:
    Beirami et al. 2024, Theoretical guarantees on the best-of-n alignment policy, section 3.
    """
    raise NotImplementedError("write this part")
