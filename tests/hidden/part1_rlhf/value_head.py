"""Wrong and right answers to `HookedTransformerWithValueHead`."""

from collections import OrderedDict
from functools import partial

import torch
from torch import nn

from rlhf_course import BridgeModel
from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake
from rlhf_course.rl.models import load_model


class _Right(BridgeModel):
    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1))

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid).squeeze(-1)

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=self.fwd_hooks)
        return logits, self.value_head_output


@visible_mistake
class NoRelu(_Right):
    """The ReLU is missing: two Linear layers in a row are no more than one."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, 1))


@visible_mistake(refused_with="The value head should have a Linear from d_model to 4 * d_model and one")
class OneLayer(_Right):
    """The head is one Linear layer; it should be a Linear to 4 * d_model, a ReLU, and a Linear to 1."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 1))


@visible_mistake(refused_with="The value head's layers have other sizes than wanted")
class NarrowHead(_Right):
    """The hidden layer has another width: it is 4 * d_model."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 2 * d_model), nn.ReLU(), nn.Linear(2 * d_model, 1))


@visible_mistake(refused_with="The value head should have a Linear from d_model to 4 * d_model and one")
class NoBias(_Right):
    """The head's layers have no biases; both Linear layers should have one."""

    def make_value_head(self, d_model):
        return nn.Sequential(
            nn.Linear(d_model, 4 * d_model, bias=False), nn.ReLU(), nn.Linear(4 * d_model, 1, bias=False)
        )


@visible_mistake
class BoundedValues(_Right):
    """A ReLU follows the last layer, so no value could be negative; a value may be any number."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1), nn.ReLU())


@visible_mistake(refused_with="The value head's layers have other sizes than wanted")
class HeadToVocabulary(_Right):
    """The last layer has d_model outputs; a value is one number."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, d_model))


@visible_mistake(refused_with="The returned value tensor of a batch should have 2 dimensions; 3 came")
class NotSqueezed(_Right):
    """The values have shape [batch, seq, 1]: squeeze the last dimension."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid)


@visible_mistake(refused_with="The returned value tensor of one text should have 2 dimensions; 1 came")
class SqueezedTooMuch(_Right):
    """A batch of one loses its dimension: `squeeze()` removes every dimension of size 1. Use `squeeze(-1)`."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid).squeeze()


@visible_mistake(refused_with="The returned value tensor of a batch should have 2 dimensions; 1 came")
class LastPositionOnly(_Right):
    """There is one value for each text; every position has one."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid[:, -1]).squeeze(-1)


@visible_mistake(refused_with="logits and values both reach it: detach neither, nor the residual stream")
class ResidDetached(_Right):
    """No gradient of the values reaches the transformer: the residual stream was detached."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid.detach()).squeeze(-1)


@visible_mistake
class ValuesDetached(_Right):
    """The stored values were detached, so neither the head nor the transformer learns from them."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid).squeeze(-1).detach()


@visible_mistake
class NoGradient(_Right):
    """The pass runs without gradients (no_grad), so nothing can learn from it."""

    @torch.no_grad()
    def forward_with_value_head(self, input_ids):
        return super().forward_with_value_head(input_ids)


@visible_mistake(refused_with="After a call that failed, value_head_output holds an earlier call's values")
class NotCleared(_Right):
    """`value_head_output` is not set to None before the pass.

    After a pass that fails, it would still hold the values of an earlier call.
    """

    def forward_with_value_head(self, input_ids):
        if self.value_head is None:
            return self.base_model(input_ids), None
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=self.fwd_hooks)
        return logits, self.value_head_output


@visible_mistake(refused_with="it is still the values of the latest call: a hook that is left behind runs")
class HookLeft(_Right):
    """A hook stays on the transformer (add_hook), so every later pass runs the head too. Use run_with_hooks."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        self.base_model.add_hook(*self.value_head_hook)
        return self.base_model(input_ids), self.value_head_output


@visible_mistake(refused_with="The returned value tensor of a batch should be a tensor; nothing (None) came")
class NoHook(_Right):
    """The head never runs, or its values are not stored.

    Pass `fwd_hooks=self.fwd_hooks` to the transformer's run_with_hooks, and store the values in
    `self.value_head_output`.
    """

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        return self.base_model(input_ids), self.value_head_output


@visible_mistake
class WrongPlace(_Right):
    """The head reads the wrong residual stream: it belongs after the last normalisation. Use `self.fwd_hooks`."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        hooks = [("blocks.0.hook_resid_post", self.run_value_head)]
        return self.base_model.run_with_hooks(input_ids, fwd_hooks=hooks), self.value_head_output


@visible_mistake(refused_with="TypeError")
class HeadTakenForGranted(_Right):
    """Without a value head the call fails: where `self.value_head` is None, return the logits and None."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=self.fwd_hooks)
        return logits, self.value_head_output


@visible_mistake(refused_with="forward_with_value_head should return logits and values; a Tensor came")
class LogitsAlone(_Right):
    """You return the logits only; return the values too."""

    def forward_with_value_head(self, input_ids):
        return super().forward_with_value_head(input_ids)[0]


@visible_mistake(refused_with="The returned value tensor of a batch should have 2 dimensions; 3 came")
class ValuesFirst(_Right):
    """The results are in the wrong order: return the logits first, then the values."""

    def forward_with_value_head(self, input_ids):
        return super().forward_with_value_head(input_ids)[::-1]


@hidden_mistake
class RemembersByShape(_Right):
    """Results are cached by the shape of the ids, not by the ids."""

    def forward_with_value_head(self, input_ids):
        memory = self.__dict__.setdefault("memory", {})
        key = tuple(input_ids.shape)
        if key not in memory:
            self.value_head_output = None
            memory[key] = super().forward_with_value_head(input_ids)
        elif isinstance(self.value_head, nn.Sequential):
            self.value_head_output = memory[key][1]
        else:
            return super().forward_with_value_head(input_ids)
        return memory[key]


@hidden_mistake
class StateOfTheTransformer(_Right):
    """The saved state is that of the transformer only."""

    def state_dict(self, *args, **kwargs):
        return self.base_model.state_dict(*args, **kwargs)

    def load_state_dict(self, state, **kwargs):
        return self.base_model.load_state_dict(state, **kwargs)


@hidden_mistake(refused_with="`to` does not reach the transformer and the head alike")
class CastsTheTransformer(_Right):
    """`to` moves the transformer but not the head."""

    def to(self, *args, **kwargs):
        self.base_model.to(*args, print_details=False, **kwargs)
        return self


@hidden_mistake(refused_with="What value_head_output holds after a pass with the model's fwd_hooks")
class NoHooksListed(_Right):
    """`fwd_hooks` is empty; the hook is made where it is used."""

    @property
    def fwd_hooks(self):
        return []

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=[self.value_head_hook])
        return logits, self.value_head_output


@hidden_mistake
class Tanh(_Right):
    """The head has a tanh instead of the ReLU."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.Tanh(), nn.Linear(4 * d_model, 1))


@hidden_mistake
class BeforeTheNormalisation(_Right):
    """The head reads the last residual stream before it is normalised."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        hooks = [("blocks.1.hook_out", self.run_value_head)]
        return self.base_model.run_with_hooks(input_ids, fwd_hooks=hooks), self.value_head_output


@hidden_mistake
class MeanOfTheText(_Right):
    """Every position of a text has the text's mean value."""

    def run_value_head(self, resid, hook):
        values = self.value_head(resid).squeeze(-1)
        self.value_head_output = values.mean(-1, keepdim=True).expand_as(values)


@hidden_mistake
class Logprobs(_Right):
    """Log-probabilities are returned as logits."""

    def forward_with_value_head(self, input_ids):
        logits, values = super().forward_with_value_head(input_ids)
        return logits.log_softmax(-1), values


@hidden_mistake
class ChangesTheStream(_Right):
    """The hook returns a changed residual stream, which changes the logits."""

    def run_value_head(self, resid, hook):
        super().run_value_head(resid, hook)
        return resid * 1.1


@hidden_mistake(refused_with="get_base_model_trainable_params should list each of the transformer's")
class FrozenTransformer(_Right):
    """The transformer is frozen, and only the head could learn."""

    def __init__(self, base_model, use_value_head=True):
        super().__init__(base_model, use_value_head)
        for parameter in nn.Module.parameters(base_model):
            parameter.requires_grad_(False)


@hidden_mistake(refused_with="get_base_model_trainable_params should list each of the transformer's")
class FusedWeightsListed(_Right):
    """Every parameter of the transformer is listed, even those on which nothing depends."""

    def get_base_model_trainable_params(self):
        return [parameter for _, parameter in nn.Module.named_parameters(self.base_model)]


@hidden_mistake(refused_with="What value_head_output holds after a call should be a tensor; nothing")
class NothingStored(_Right):
    """The values are returned but not stored."""

    def forward_with_value_head(self, input_ids):
        logits, values = super().forward_with_value_head(input_ids)
        self.value_head_output = None
        return logits, values


@hidden_mistake(refused_with="logits and values both reach it: detach neither, nor the residual stream")
class NoGradientOfLogits(_Right):
    """The logits are detached."""

    def forward_with_value_head(self, input_ids):
        logits, values = super().forward_with_value_head(input_ids)
        return logits.detach(), values


@hidden_mistake
class TwoPasses(_Right):
    """The values come from a second pass, without gradients."""

    def forward_with_value_head(self, input_ids):
        with torch.no_grad():
            values = super().forward_with_value_head(input_ids)[1]
        return self.base_model(input_ids), values


@hidden_mistake(refused_with="to_tokens should give the transformer's ids by default")
class TokensWithoutBeginning(_Right):
    """The beginning-of-sequence token is never prepended to a text."""

    def to_tokens(self, text, prepend_bos=False, **kwargs):
        return super().to_tokens(text, prepend_bos=False, **kwargs)


class _Head(BridgeModel):
    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1))

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid)[..., 0]


@right_answer
class HooksAsContext(_Head):
    def make_value_head(self, d_model):
        layers = [("up", nn.Linear(d_model, d_model * 4)), ("act", nn.ReLU()), ("down", nn.Linear(d_model * 4, 1))]
        return nn.Sequential(OrderedDict(layers))

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        hooks = [] if self.value_head is None else self.fwd_hooks
        with self.base_model.hooks(fwd_hooks=hooks):
            logits = self.base_model(input_ids)
        return logits, self.value_head_output


@right_answer
class HeadAskedInTheHook(_Head):
    def run_value_head(self, resid, hook):
        if self.value_head is not None:
            self.value_head_output = self.value_head(resid).reshape(resid.shape[:2])

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        logits = self.base_model.run_with_hooks(input_ids, return_type="logits", fwd_hooks=self.fwd_hooks)
        return logits, self.value_head_output


@right_answer
class HookWritten(_Head):
    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self(input_ids), None
        hook = partial(type(self).run_value_head, self)
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=[(self.HOOK_POINT, hook)])
        assert self.value_head_output is not None
        return logits, self.value_head_output


@right_answer
class HookTakenOff(_Head):
    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        try:
            self.base_model.add_hook(*self.value_head_hook)
            return self.base_model(input_ids), self.value_head_output
        finally:
            self.base_model.reset_hooks()


@right_answer
class WithoutTheBaseClass(nn.Module):
    def __init__(self, base_model, use_value_head):
        super().__init__()
        self.base_model = base_model
        width = base_model.cfg.d_model
        self.value_head = (
            nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, 1)) if use_value_head else None
        )
        self.value_head_output = None
        self.value_head_hook = ("ln_final.hook_normalized", self.run_value_head)

    @classmethod
    def from_pretrained(cls, model_name, use_value_head=True, **kwargs):
        return cls(load_model(model_name, **kwargs), use_value_head)

    @property
    def fwd_hooks(self):
        return [self.value_head_hook]

    def get_base_model_trainable_params(self):
        return [parameter for _, parameter in nn.Module.named_parameters(self.base_model) if parameter.requires_grad]

    def get_value_head_params(self):
        return [] if self.value_head is None else list(self.value_head.parameters())

    def run_value_head(self, resid, hook):
        self.value_head_output = torch.squeeze(self.value_head(resid), dim=-1)

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        hooks = self.fwd_hooks if self.value_head is not None else []
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=hooks)
        return logits, self.value_head_output

    def forward(self, input_ids):
        return self.base_model(input_ids)

    def __getattr__(self, name):
        if name in ("cfg", "tokenizer", "to_tokens", "to_str_tokens", "to_string", "generate"):
            return getattr(self.base_model, name)
        return super().__getattr__(name)
