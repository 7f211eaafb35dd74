"""Wrong answers to `HookedTransformerWithValueHead`."""

import torch
from torch import nn

from rlhf_course import BridgeModel


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


class RemembersByShape(_Right):
    """Results are remembered by the shape of the ids, not by the ids."""

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


class StateOfTheTransformer(_Right):
    """The saved state is the transformer's alone."""

    def state_dict(self, *args, **kwargs):
        return self.base_model.state_dict(*args, **kwargs)

    def load_state_dict(self, state, **kwargs):
        return self.base_model.load_state_dict(state, **kwargs)


class CastsTheTransformer(_Right):
    """`to` moves the transformer, and the head stays behind."""

    def to(self, *args, **kwargs):
        self.base_model.to(*args, print_details=False, **kwargs)
        return self


class NoHooksListed(_Right):
    """`fwd_hooks` is empty; the hook is made up where it is used."""

    @property
    def fwd_hooks(self):
        return []

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=[self.value_head_hook])
        return logits, self.value_head_output


class Tanh(_Right):
    """The head has a tanh in place of the ReLU."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.Tanh(), nn.Linear(4 * d_model, 1))


class BeforeTheNormalisation(_Right):
    """The head reads the last residual stream before it is normalised."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        hooks = [("blocks.1.hook_out", self.run_value_head)]
        return self.base_model.run_with_hooks(input_ids, fwd_hooks=hooks), self.value_head_output


class MeanOfTheText(_Right):
    """Every position of a text has the text's mean value."""

    def run_value_head(self, resid, hook):
        values = self.value_head(resid).squeeze(-1)
        self.value_head_output = values.mean(-1, keepdim=True).expand_as(values)


class Logprobs(_Right):
    """The logits come as log-probabilities."""

    def forward_with_value_head(self, input_ids):
        logits, values = super().forward_with_value_head(input_ids)
        return logits.log_softmax(-1), values


class ChangesTheStream(_Right):
    """The hook gives the stream back changed, and the logits with it."""

    def run_value_head(self, resid, hook):
        super().run_value_head(resid, hook)
        return resid * 1.1


class FrozenTransformer(_Right):
    """The transformer is frozen, and only the head could learn."""

    def __init__(self, base_model, use_value_head=True):
        super().__init__(base_model, use_value_head)
        for parameter in nn.Module.parameters(base_model):
            parameter.requires_grad_(False)


class FusedWeightsListed(_Right):
    """Every parameter of the transformer is listed, with those that nothing depends on."""

    def get_base_model_trainable_params(self):
        return [one for _, one in nn.Module.named_parameters(self.base_model)]


class NothingStored(_Right):
    """The values are returned and not kept."""

    def forward_with_value_head(self, input_ids):
        logits, values = super().forward_with_value_head(input_ids)
        self.value_head_output = None
        return logits, values


class NoGradientOfLogits(_Right):
    """The logits are detached."""

    def forward_with_value_head(self, input_ids):
        logits, values = super().forward_with_value_head(input_ids)
        return logits.detach(), values


class TwoPasses(_Right):
    """The values are those of a pass without gradient, beside the pass of the logits."""

    def forward_with_value_head(self, input_ids):
        with torch.no_grad():
            values = super().forward_with_value_head(input_ids)[1]
        return self.base_model(input_ids), values


class TokensWithoutBeginning(_Right):
    """The beginning-of-sequence token is never put before a text."""

    def to_tokens(self, text, prepend_bos=False, **kwargs):
        return super().to_tokens(text, prepend_bos=False, **kwargs)
