"""Known mistakes of `normalize_reward`."""


def in_place(reward, eps=1e-5):
    """You changed the reward that was passed in (`-=` or `/=` work in place); the raw reward is still needed for the log."""
    reward -= reward.mean()
    reward /= reward.std() + eps
    return reward


def no_eps(reward, eps=1e-5):
    """Nothing keeps the division finite: for equal rewards the deviation is 0, and 0 / 0 is not a number. That is what `eps` is for."""
    return (reward - reward.mean()) / reward.std()


def divides_by_the_variance(reward, eps=1e-5):
    """You divide by the variance; it is the standard deviation, its square root."""
    return (reward - reward.mean()) / (reward.var() + eps)


def no_shift(reward, eps=1e-5):
    """You scale without shifting: the mean has to be taken away first."""
    return reward / (reward.std() + eps)


def no_scale(reward, eps=1e-5):
    """You shift without scaling: the difference has to be divided by the standard deviation."""
    return reward - reward.mean()


def brackets(reward, eps=1e-5):
    """Brackets are missing: `reward - reward.mean() / (...)` divides the mean alone. Subtract first, then divide."""
    return reward - reward.mean() / (reward.std() + eps)


def between_0_and_1(reward, eps=1e-5):
    """You map the rewards to the range from 0 to 1; wanted are mean 0 and standard deviation 1."""
    return (reward - reward.min()) / (reward.max() - reward.min() + eps)


def between_minus_1_and_1(reward, eps=1e-5):
    """You divide by the largest deviation; it is the standard deviation, a mean over all of them."""
    centred = reward - reward.mean()
    return centred / (centred.abs().max() + eps)


def median(reward, eps=1e-5):
    """You take the median away; it is the mean that has to become 0."""
    return (reward - reward.median()) / (reward.std() + eps)


def length(reward, eps=1e-5):
    """You divide by the vector's length (its norm), which grows with the batch; it is the standard deviation."""
    centred = reward - reward.mean()
    return centred / (centred.norm() + eps)


def softmax(reward, eps=1e-5):
    """A softmax makes probabilities of the rewards; wanted are mean 0 and standard deviation 1."""
    return reward.softmax(-1)


def sign(reward, eps=1e-5):
    """The sign is turned: you take the reward from the mean, and the best text gets the lowest number."""
    return (reward.mean() - reward) / (reward.std() + eps)
