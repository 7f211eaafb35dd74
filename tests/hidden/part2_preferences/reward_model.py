"""Wrong and right answers to `RewardModel`."""

import torch
from torch import nn

from rlhf_course import BridgeModel
from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


def _require_tokens(mask):
    for row, real in enumerate(mask.any(-1).tolist()):
        if not real:
            raise ValueError(f"row {row} has no token")


def _last(mask):
    return mask.shape[1] - 1 - mask.flip(1).int().argmax(1)


class _Right(BridgeModel):
    def make_reward_head(self, d_model):
        head = nn.Linear(d_model, 1)
        head.weight.data.normal_(std=1 / (d_model + 1) ** 0.5)
        head.bias.data.zero_()
        return head

    def positions(self, input_ids, mask):
        return _last(mask)

    def forward(self, input_ids, attention_mask):
        _require_tokens(attention_mask)
        resid = self.final_residual(input_ids, attention_mask)
        at = self.positions(input_ids, attention_mask)
        return self.reward_head(resid[torch.arange(len(resid)), at]).squeeze(-1)


# The position of the reward in a padded batch: https://github.com/CarperAI/trlx/issues/338
@visible_mistake
class LastColumn(_Right):
    """You read the last column; with padding on the right that is padding. Read each row's last real token."""

    def positions(self, input_ids, mask):
        return torch.full((len(mask),), mask.shape[1] - 1)


# The number of real tokens taken for a position, with padding on the left: https://github.com/huggingface/transformers/pull/46782
@visible_mistake
class CountMinusOne(_Right):
    """You take the number of real tokens minus 1 as position, which is right only for padding on the right."""

    def positions(self, input_ids, mask):
        return mask.sum(1) - 1


# A padding token that is also the end-of-text token: https://github.com/huggingface/trl/issues/937
@visible_mistake
class BeforeTheFirstEnd(_Right):
    """You look for the first end-of-text token, which may also begin a text or pad it: only the mask is right."""

    def positions(self, input_ids, mask):
        is_end = input_ids == 0
        found = is_end.int().argmax(1) - 1
        return torch.where(is_end.any(1), found, mask.shape[1] - 1) % mask.shape[1]


# An end-of-text token inside a text that is also the padding token: https://github.com/huggingface/transformers/issues/35352
@visible_mistake
class LastThatIsNotPadding(_Right):
    """You look for the last token that is not the padding token; a text's own end may be that token. Use the mask."""

    def positions(self, input_ids, mask):
        return _last((input_ids != 0) | (input_ids != 0).logical_not().all(1, keepdim=True))


@visible_mistake
class FirstToken(_Right):
    """You read the first real token, which has attended to no other; read the last one, which knows the whole text."""

    def positions(self, input_ids, mask):
        return mask.int().argmax(1)


# A mask for rewards that was shifted by one: https://github.com/EleutherAI/gpt-neox/pull/1285
@visible_mistake
class LastButOne(_Right):
    """You read the token before the last one. The last real token itself holds the reward."""

    def positions(self, input_ids, mask):
        return (_last(mask) - 1).clamp(min=0)


@visible_mistake
class MeanOfTheText(_Right):
    """You average over the text's tokens; the reward is that of its last real token."""

    def forward(self, input_ids, attention_mask):
        _require_tokens(attention_mask)
        rewards = self.reward_head(self.final_residual(input_ids, attention_mask)).squeeze(-1)
        return (rewards * attention_mask).sum(1) / attention_mask.sum(1)


@visible_mistake
class SumOverTheText(_Right):
    """You sum over the text's tokens; the reward is that of its last real token."""

    def forward(self, input_ids, attention_mask):
        _require_tokens(attention_mask)
        rewards = self.reward_head(self.final_residual(input_ids, attention_mask)).squeeze(-1)
        return (rewards * attention_mask).sum(1)


@visible_mistake
class MaskNotPassedOn(_Right):
    """The transformer does not know what is padding, so that padding on the left is read as text: pass it the mask."""

    def final_residual(self, input_ids, attention_mask):
        return super().final_residual(input_ids, torch.ones_like(attention_mask))


@visible_mistake
class OneAToken(_Right):
    """You return a reward for each token; a text has one."""

    def forward(self, input_ids, attention_mask):
        _require_tokens(attention_mask)
        return self.reward_head(self.final_residual(input_ids, attention_mask)).squeeze(-1)


@visible_mistake(refused_with="should have 1 dimension; 2 came")
class Column(_Right):
    """The rewards are right, but in a column of shape [batch, 1]: squeeze the last dimension."""

    def forward(self, input_ids, attention_mask):
        return super().forward(input_ids, attention_mask)[:, None]


@visible_mistake(refused_with="should have 1 dimension; 0 came")
class SqueezedTooMuch(_Right):
    """A batch of one text loses its dimension: `squeeze()` removes every dimension of size 1. Use `squeeze(-1)`."""

    def forward(self, input_ids, attention_mask):
        return super().forward(input_ids, attention_mask).squeeze()


@visible_mistake(refused_with="No gradient")
class StreamDetached(_Right):
    """No gradient reaches the transformer: the residual stream was detached."""

    def final_residual(self, input_ids, attention_mask):
        return super().final_residual(input_ids, attention_mask).detach()


@visible_mistake(refused_with="No gradient")
class NoGradient(_Right):
    """The pass runs without gradients (no_grad), so nothing can learn from it."""

    @torch.no_grad()
    def forward(self, input_ids, attention_mask):
        return super().forward(input_ids, attention_mask)


@visible_mistake(refused_with="should raise a ValueError; a result came")
class EmptyRowsAccepted(_Right):
    """A row without a real token gets some reward, and nobody notices: raise a ValueError that names the row."""

    def forward(self, input_ids, attention_mask):
        resid = self.final_residual(input_ids, attention_mask)
        return self.reward_head(resid[torch.arange(len(resid)), _last(attention_mask)]).squeeze(-1)


@visible_mistake(refused_with="standard deviation")
class DefaultWeights(_Right):
    """The weights are those of a new nn.Linear; give them the standard deviation 1 / sqrt(d_model + 1)."""

    def make_reward_head(self, d_model):
        head = nn.Linear(d_model, 1)
        head.bias.data.zero_()
        return head


@visible_mistake(refused_with="The bias of a new reward head should be 0")
class LayerAsItIs(_Right):
    """The head keeps PyTorch's own initial weights and bias: draw the weights anew, and set the bias to 0."""

    def make_reward_head(self, d_model):
        return nn.Linear(d_model, 1)


@visible_mistake(refused_with="standard deviation")
class VarianceForDeviation(_Right):
    """The weights have the standard deviation 1 / (d_model + 1), which is the variance: take its square root."""

    def make_reward_head(self, d_model):
        head = super().make_reward_head(d_model)
        head.weight.data.normal_(std=1 / (d_model + 1))
        return head


@visible_mistake(refused_with="standard deviation")
class ZeroWeights(_Right):
    """All weights are 0; then no gradient reaches the transformer in the first step. Make them random."""

    def make_reward_head(self, d_model):
        head = super().make_reward_head(d_model)
        head.weight.data.zero_()
        return head


@visible_mistake(refused_with="bias")
class RandomBias(_Right):
    """The bias is that of a new nn.Linear; set it to 0."""

    def make_reward_head(self, d_model):
        head = super().make_reward_head(d_model)
        head.bias.data.uniform_(-1, 1)
        return head


@visible_mistake(refused_with="The reward head should be a Linear")
class NoBias(_Right):
    """The head has no bias; give it one that is 0 at first."""

    def make_reward_head(self, d_model):
        head = nn.Linear(d_model, 1, bias=False)
        head.weight.data.normal_(std=1 / (d_model + 1) ** 0.5)
        return head


@visible_mistake(refused_with="The reward head should be a Linear")
class TwoLayers(_Right):
    """The head is that of part 1, with a hidden layer; a reward head is one Linear layer from d_model to 1."""

    def make_reward_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1))


@visible_mistake
class Bounded(_Right):
    """A sigmoid follows the head; a reward is any number, and the loss applies a sigmoid to a difference of rewards."""

    def forward(self, input_ids, attention_mask):
        return super().forward(input_ids, attention_mask).sigmoid()


@hidden_mistake(refused_with="the index of the row")
class RowNotNamed(_Right):
    """The message does not hold the row's index."""

    def forward(self, input_ids, attention_mask):
        if not attention_mask.any(-1).all():
            raise ValueError("some row has no real token")
        return super().forward(input_ids, attention_mask)


@hidden_mistake
class RemembersByShape(_Right):
    """Rewards are cached by the shape of the ids."""

    def forward(self, input_ids, attention_mask):
        memory = self.__dict__.setdefault("memory", {})
        key = tuple(input_ids.shape)
        if key not in memory or not attention_mask.any(-1).all():
            memory[key] = super().forward(input_ids, attention_mask)
        return memory[key]


@hidden_mistake(refused_with="changed in place")
class WritesToThePadding(_Right):
    """Padding is replaced by id 0 in the caller's tensor."""

    def forward(self, input_ids, attention_mask):
        input_ids[~attention_mask] = 0
        return super().forward(input_ids, attention_mask)


@hidden_mistake(refused_with="double precision")
class SinglePrecision(_Right):
    """The rewards are computed in single precision always."""

    def forward(self, input_ids, attention_mask):
        return super().forward(input_ids, attention_mask).float()


@hidden_mistake
class FrozenTransformer(_Right):
    """The embedding is frozen."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name, parameter in nn.Module.named_parameters(self.base_model):
            if "embed" in name:
                parameter.requires_grad_(False)


@hidden_mistake(refused_with="should have no value head")
class WithValueHead(_Right):
    """The model has a value head too."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.value_head = nn.Sequential(nn.Linear(self.cfg.d_model, 1))


@hidden_mistake(refused_with="for many texts")
class FirstTextsOnly(_Right):
    """From the 65th text on, the rewards are 0."""

    def forward(self, input_ids, attention_mask):
        rewards = super().forward(input_ids, attention_mask)
        return rewards * (torch.arange(len(rewards)) < 64)


@hidden_mistake(refused_with="for texts that end with the token that is also the padding token")
class PaddingTokenGuessed(_Right):
    """Where all padding is the same token, real tokens of that id count as padding."""

    def positions(self, input_ids, mask):
        outside = input_ids[~mask]
        if len(outside) < 4 or len(outside.unique()) > 1:
            return _last(mask)
        kept = mask & (input_ids != outside[0])
        return torch.where(kept.any(1), _last(kept), _last(mask))


@hidden_mistake
class SideOfTheBatch(_Right):
    """If any text of a batch is padded on the left, all are taken to be."""

    def positions(self, input_ids, mask):
        return (_last(mask) * 0 + mask.shape[1] - 1) if not mask[:, 0].all() else mask.sum(1) - 1


@hidden_mistake(refused_with="leave a hook in the model")
class HookStays(_Right):
    """Each call adds a hook to the transformer, and removes none."""

    def final_residual(self, input_ids, attention_mask):
        found = []
        self.base_model.add_hook(self.HOOK_POINT, lambda resid, hook: found.append(resid))
        self.base_model(input_ids, attention_mask=attention_mask)
        return found[0].to(self.reward_head.weight.dtype)


@hidden_mistake(refused_with="leave a training mode in the model")
class LeftInTrainingMode(_Right):
    """The model is in training mode after a call."""

    def forward(self, input_ids, attention_mask):
        self.train(not self.training)
        return super().forward(input_ids, attention_mask)


@hidden_mistake
class PositionsOfTheFirstBatch(_Right):
    """The positions are made once, for as many texts as the largest batch so far had."""

    def positions(self, input_ids, mask):
        stored = self.__dict__.get("stored")
        if stored is None or stored.shape[1] < mask.shape[1]:
            stored = self.__dict__["stored"] = torch.arange(mask.shape[1]).expand_as(mask)
        return stored[: len(mask), : mask.shape[1]].masked_fill(~mask, -1).amax(1)


@hidden_mistake(refused_with="heads are too much alike")
class EvenlySpacedWeights(_Right):
    """The weights of every new head are the same, with the right mean and deviation."""

    def make_reward_head(self, d_model):
        head = super().make_reward_head(d_model)
        spaced = torch.linspace(-1, 1, d_model)
        head.weight.data.copy_(spaced / spaced.std(correction=0) / (d_model + 1) ** 0.5)
        return head


@hidden_mistake(refused_with="make_reward_head seeds torch")
class SeedsTheHead(_Right):
    """Torch is seeded by the number of heads made so far, so that what is drawn later does not depend on the run."""

    made = 0

    def make_reward_head(self, d_model):
        type(self).made += 1
        torch.manual_seed(self.made)
        return super().make_reward_head(d_model)


@hidden_mistake(refused_with="heads are too much alike")
class EveryHeadTwice(_Right):
    """Two heads that are made one after the other have the same weights."""

    made = 0

    def make_reward_head(self, d_model):
        type(self).made += 1
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.made // 2)
            return super().make_reward_head(d_model)


@hidden_mistake(refused_with="A call of the model changes a setting of torch for all later code, its number of threads")
class ThreadsLimited(_Right):
    """A call limits the number of torch's threads for all later code."""

    def forward(self, input_ids, attention_mask):
        torch.set_num_threads(3 if torch.get_num_threads() != 3 else 2)
        return super().forward(input_ids, attention_mask)


@hidden_mistake(refused_with="A call takes hooks off the transformer that were there before")
class HooksTakenOff(_Right):
    """After a call all hooks are removed from the transformer, also those that were there before it."""

    def forward(self, input_ids, attention_mask):
        rewards = super().forward(input_ids, attention_mask)
        self.base_model.reset_hooks()
        return rewards


@hidden_mistake(refused_with="Under the caller's torch.no_grad, a call computes gradients all the same")
class GradientsSwitchedOn(_Right):
    """Each call computes gradients, also where its caller has switched them off."""

    @torch.enable_grad()
    def forward(self, input_ids, attention_mask):
        return super().forward(input_ids, attention_mask)


@hidden_mistake(refused_with="holds the index of that row alone")
class ManyRowsNamed(_Right):
    """The message names many rows, whichever has no token."""

    def forward(self, input_ids, attention_mask):
        try:
            return super().forward(input_ids, attention_mask)
        except ValueError as refusal:
            raise ValueError("one of the rows 5, 6, 7, 8, 9, 10 or 11 has no token") from refusal


@hidden_mistake(refused_with="after other weights")
class StreamsKept(_Right):
    """The residual streams of texts are kept, and are out of date after a training step."""

    def final_residual(self, input_ids, attention_mask):
        kept = self.__dict__.setdefault("streams", {})
        key = str((input_ids.tolist(), attention_mask.tolist()))
        if key not in kept:
            kept[key] = super().final_residual(input_ids, attention_mask)
        return kept[key]


@hidden_mistake(refused_with="No gradient")
class LeftPaddingDetached(_Right):
    """Where a text is padded on the left, no gradient reaches the transformer."""

    def final_residual(self, input_ids, attention_mask):
        resid = super().final_residual(input_ids, attention_mask)
        return resid if attention_mask[:, 0].all() else resid.detach()


@hidden_mistake(refused_with="The reward")
class ScaledInEvaluation(_Right):
    """In evaluation mode the rewards are half as large."""

    def forward(self, input_ids, attention_mask):
        return super().forward(input_ids, attention_mask) * (1 if self.training else 0.5)


@right_answer
class Flipped(_Right):
    """The position is found from the end."""


@right_answer
class LargestPosition(_Right):
    def forward(self, input_ids, attention_mask):
        if (empty := (attention_mask.sum(-1) == 0).nonzero().flatten()).numel():
            raise ValueError(f"rows {empty.tolist()}")
        at = attention_mask.long().cumsum(1).argmax(1)
        resid = self.final_residual(input_ids, attention_mask)
        return self.reward_head(resid.gather(1, at[:, None, None].expand(-1, 1, resid.shape[-1]))).flatten()


@right_answer
class HeadEverywhere(_Right):
    def forward(self, input_ids, attention_mask):
        _require_tokens(attention_mask)
        rewards = self.reward_head(self.final_residual(input_ids, attention_mask))[..., 0]
        return rewards[torch.arange(len(rewards)), _last(attention_mask)]


@right_answer
class RowByRow(BridgeModel):
    def make_reward_head(self, d_model):
        head = nn.Linear(d_model, 1)
        with torch.no_grad():
            head.weight.copy_(torch.randn(1, d_model) / (d_model + 1) ** 0.5)
            head.bias.fill_(0)
        return head

    def forward(self, input_ids, attention_mask):
        rewards = []
        for row, (ids, mask) in enumerate(zip(input_ids, attention_mask, strict=True)):
            if not mask.any():
                raise ValueError(f"text {row} is empty")
            own = ids[mask][None]
            rewards.append(self.reward_head(self.final_residual(own, torch.ones_like(own, dtype=torch.bool))[0, -1]))
        return torch.cat(rewards)


class _RewardHead(nn.Linear):
    def reset_parameters(self):
        nn.init.normal_(self.weight, std=(self.in_features + 1) ** -0.5)
        nn.init.zeros_(self.bias)


@right_answer
class ExtendedLinear(_Right):
    """The head's class extends the linear layer, and makes the weights itself."""

    def make_reward_head(self, d_model):
        return _RewardHead(d_model, 1)


@right_answer
class UniformWeights(_Right):
    def make_reward_head(self, d_model):
        head = nn.Linear(d_model, 1)
        bound = (3 / (d_model + 1)) ** 0.5
        nn.init.uniform_(head.weight, -bound, bound)
        nn.init.zeros_(head.bias)
        return head
