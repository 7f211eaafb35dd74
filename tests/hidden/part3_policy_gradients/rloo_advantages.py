"""Wrong and right answers to `rloo_advantages`."""

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


# TODO: write at least 8 visible mistakes.
@visible_mistake
def turned_sign(values):
    """TODO: tell the learner what is wrong and what is right."""
    return -values


# TODO: write hidden mistakes, so that there are at least 15 wrong answers in all.
@hidden_mistake
def doubled(values):
    """TODO: say what is wrong."""
    return 2 * values


# TODO: write at least 5 right answers that work in another way than the reference.
@right_answer
def adds_nothing(values):
    return values + 0
