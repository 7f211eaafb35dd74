"""The critic: a value head on the transformer that is also the actor."""

import torch.nn as nn
from rlhf_course import BridgeModel


class HookedTransformerWithValueHead(BridgeModel):
    def make_value_head(self, d_model):
        hidden = d_model * 4
        layers = [nn.Linear(d_model, hidden), nn.ReLU(), nn.Linear(hidden, 1)]
        return nn.Sequential(*layers)

    def run_value_head(self, resid, hook):
        values = self.value_head(resid)  # [batch, seq, 1]
        self.value_head_output = values[:, :, 0]

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        hooks = self.fwd_hooks if self.value_head is not None else []
        out = self.base_model.run_with_hooks(input_ids, fwd_hooks=hooks)
        return out, self.value_head_output
