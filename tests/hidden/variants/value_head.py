"""Right answers to `HookedTransformerWithValueHead`, in other words than the reference's."""

from collections import OrderedDict
from functools import partial

import torch
from torch import nn

from rlhf_course import BridgeModel
from rlhf_course.rl.models import load_model


class _Head(BridgeModel):
    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1))

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid)[..., 0]


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


class HeadAskedInTheHook(_Head):
    def run_value_head(self, resid, hook):
        if self.value_head is not None:
            self.value_head_output = self.value_head(resid).reshape(resid.shape[:2])

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        logits = self.base_model.run_with_hooks(input_ids, return_type="logits", fwd_hooks=self.fwd_hooks)
        return logits, self.value_head_output


class HookWritten(_Head):
    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self(input_ids), None
        hook = partial(type(self).run_value_head, self)
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=[(self.HOOK_POINT, hook)])
        assert self.value_head_output is not None
        return logits, self.value_head_output


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
        return [one for _, one in nn.Module.named_parameters(self.base_model) if one.requires_grad]

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
