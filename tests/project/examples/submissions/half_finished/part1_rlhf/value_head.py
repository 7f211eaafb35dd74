"""The critic: a value head on the transformer that is also the actor."""

from rlhf_course import BridgeModel
from torch.nn import Linear, ReLU, Sequential


class HookedTransformerWithValueHead(BridgeModel):
    def make_value_head(self, d_model):
        return Sequential(Linear(d_model, 4 * d_model), ReLU(), Linear(4 * d_model, 1))

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid).flatten(1)

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        with self.base_model.hooks(self.fwd_hooks):
            logits = self.base_model(input_ids)
        return logits, self.value_head_output
