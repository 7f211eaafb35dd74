"""How far best-of-n sampling moves away from the model that it samples from."""

import math


def best_of_n_kl(n: int) -> float:
    """log n - (n - 1) / n: the KL divergence of the best of n texts from the model that wrote them, in nats.

    It holds where no two texts have the same reward; otherwise it is an upper bound.

    Args:
        n: how many texts the best one is chosen from, up to a million and more.

    Returns: a Python float; 0 for a single text.

    Raises:
        ValueError: `n` is less than 1.

    Source: Stiennon et al. 2020, Learning to summarize from human feedback, appendix G; that it is an upper bound:
    Beirami et al. 2024, Theoretical guarantees on the best-of-n alignment policy, theorem 1.
    """
    raise NotImplementedError("write this part")
