"""Wrong and right answers to `GRPOTrainer`."""

from torch import nn

from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


# TODO: write at least 8 visible mistakes.
@visible_mistake
class TurnedSign(nn.Module):
    """TODO: tell the learner what is wrong and what is right."""

    def forward(self, values):
        return -values


# TODO: write hidden mistakes, so that there are at least 15 wrong answers in all.
@hidden_mistake
class Doubled(nn.Module):
    """TODO: say what is wrong."""

    def forward(self, values):
        return 2 * values


# TODO: write at least 5 right answers that work in another way than the reference.
@right_answer
class AddsNothing(nn.Module):
    def forward(self, values):
        return values + 0
