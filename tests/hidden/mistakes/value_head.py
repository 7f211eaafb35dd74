"""Known mistakes of `HookedTransformerWithValueHead`."""

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


class NoRelu(_Right):
    """The ReLU is missing: two Linear layers in a row are no more than one."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, 1))


class OneLayer(_Right):
    """The head is one Linear layer; it should go up to 4 * d_model, through a ReLU, and down to 1."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 1))


class NarrowHead(_Right):
    """The hidden layer has another width: it is 4 * d_model."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 2 * d_model), nn.ReLU(), nn.Linear(2 * d_model, 1))


class NoBias(_Right):
    """The head's layers have no biases; both Linear layers should have one."""

    def make_value_head(self, d_model):
        return nn.Sequential(
            nn.Linear(d_model, 4 * d_model, bias=False), nn.ReLU(), nn.Linear(4 * d_model, 1, bias=False)
        )


class BoundedValues(_Right):
    """A ReLU stands after the last layer, so no value could be negative; a value may be any number."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1), nn.ReLU())


class HeadToVocabulary(_Right):
    """The last layer has d_model outputs; a value is one number."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, d_model))


class NotSqueezed(_Right):
    """The values have shape [batch, seq, 1]: take away the last dimension."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid)


class SqueezedTooMuch(_Right):
    """A batch of one loses its dimension: `squeeze()` takes every dimension of size 1; name the one that you mean, -1."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid).squeeze()


class LastPositionOnly(_Right):
    """There is one value for each text; every position has one."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid[:, -1]).squeeze(-1)


class ResidDetached(_Right):
    """No gradient of the values reaches the transformer: the residual stream was detached."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid.detach()).squeeze(-1)


class ValuesDetached(_Right):
    """The stored values were detached, so neither the head nor the transformer learns from them."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid).squeeze(-1).detach()


class NoGradient(_Right):
    """The pass runs without gradients (no_grad), so nothing can learn from it."""

    @torch.no_grad()
    def forward_with_value_head(self, input_ids):
        return super().forward_with_value_head(input_ids)


class NotCleared(_Right):
    """`value_head_output` is not cleared before the pass: after a pass that fails, an earlier call's values would look like its own."""

    def forward_with_value_head(self, input_ids):
        if self.value_head is None:
            return self.base_model(input_ids), None
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=self.fwd_hooks)
        return logits, self.value_head_output


class HookLeft(_Right):
    """A hook stays on the transformer after the call (add_hook), so every later pass runs the head too. Use run_with_hooks."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        self.base_model.add_hook(*self.value_head_hook)
        return self.base_model(input_ids), self.value_head_output


class NoHook(_Right):
    """The head never runs, or its values are not stored: pass `fwd_hooks=self.fwd_hooks` to the transformer's run_with_hooks, and store the values in `self.value_head_output`."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        return self.base_model(input_ids), self.value_head_output


class WrongPlace(_Right):
    """The head reads another residual stream; it sits after the last normalisation, where `self.fwd_hooks` puts it."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        hooks = [("blocks.0.hook_resid_post", self.run_value_head)]
        return self.base_model.run_with_hooks(input_ids, fwd_hooks=hooks), self.value_head_output


class HeadTakenForGranted(_Right):
    """Without a value head the call fails: where `self.value_head` is None, return the logits and None."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=self.fwd_hooks)
        return logits, self.value_head_output


class LogitsAlone(_Right):
    """You return the logits alone; the values belong beside them."""

    def forward_with_value_head(self, input_ids):
        return super().forward_with_value_head(input_ids)[0]


class ValuesFirst(_Right):
    """The results are in the other order: logits first, then values."""

    def forward_with_value_head(self, input_ids):
        return super().forward_with_value_head(input_ids)[::-1]
