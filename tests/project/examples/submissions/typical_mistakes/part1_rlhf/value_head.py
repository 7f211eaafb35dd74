"""The critic: a value head on the transformer that is also the actor."""

from rlhf_course import BridgeModel
from torch import nn


class HookedTransformerWithValueHead(BridgeModel):
    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1))

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid)

    def forward_with_value_head(self, input_ids):
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=self.fwd_hooks)
        return logits, self.value_head_output
