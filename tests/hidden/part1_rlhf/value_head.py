"""Wrong and right answers to `HookedTransformerWithValueHead`."""

import functools
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


@visible_mistake(refused_with="is that of a head without an activation between the layers")
class NoRelu(_Right):
    """The ReLU is missing: two Linear layers in a row are no more than one."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.Linear(4 * d_model, 1))


@visible_mistake(refused_with="The value head has 2 parameter tensors, and four are wanted")
class OneLayer(_Right):
    """The head is one Linear layer; it should be a Linear to 4 * d_model, a ReLU, and a Linear to 1."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 1))


@visible_mistake(refused_with="The value head's layers have other sizes than wanted")
class NarrowHead(_Right):
    """The hidden layer has another width: it is 4 * d_model."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 2 * d_model), nn.ReLU(), nn.Linear(2 * d_model, 1))


@visible_mistake(refused_with="The value head has 2 parameter tensors, and four are wanted")
class NoBias(_Right):
    """The head's layers have no biases; both Linear layers should have one."""

    def make_value_head(self, d_model):
        return nn.Sequential(
            nn.Linear(d_model, 4 * d_model, bias=False), nn.ReLU(), nn.Linear(4 * d_model, 1, bias=False)
        )


@visible_mistake(refused_with="is that of a head with a ReLU after the last layer")
class BoundedValues(_Right):
    """A ReLU follows the last layer, so no value could be negative; a value may be any number."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1), nn.ReLU())


@visible_mistake(refused_with="The value head's layers have other sizes than wanted")
class HeadToVocabulary(_Right):
    """The last layer has d_model outputs; a value is one number."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, d_model))


@visible_mistake(refused_with="should have 2 dimensions; 3 came")
class NotSqueezed(_Right):
    """The values have shape [batch, seq, 1]: squeeze the last dimension."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid)


@visible_mistake(refused_with="should have 2 dimensions; 1 came")
class SqueezedTooMuch(_Right):
    """A batch of one loses its dimension: `squeeze()` removes every dimension of size 1. Use `squeeze(-1)`."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid).squeeze()


@visible_mistake(refused_with="should have 2 dimensions; 1 came")
class LastPositionOnly(_Right):
    """There is one value for each text; every position has one."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid[:, -1]).squeeze(-1)


@visible_mistake
class HookReturnsValues(_Right):
    """`run_value_head` returns something, which takes the place of the residual stream.

    Store the values in `self.value_head_output`, and return nothing.
    """

    def run_value_head(self, resid, hook):
        super().run_value_head(resid, hook)
        return self.value_head_output


@visible_mistake(refused_with="The gradient at the transformer is that of the logits alone")
class ResidDetached(_Right):
    """No gradient of the values reaches the transformer: the residual stream was detached."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid.detach()).squeeze(-1)


@visible_mistake(refused_with="No gradient of the values reaches the value head, so it cannot learn")
class ValuesDetached(_Right):
    """The stored values were detached, so neither the head nor the transformer learns from them."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid).squeeze(-1).detach()


@visible_mistake(refused_with="No gradient of logits and values reaches some parameters of the transformer")
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


@visible_mistake(refused_with="is that of the head for the texts of that pass")
class HookLeft(_Right):
    """A hook stays on the transformer (add_hook), so every later pass runs the head too. Use run_with_hooks."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        self.base_model.add_hook(*self.value_head_hook)
        return self.base_model(input_ids), self.value_head_output


@visible_mistake(refused_with="should be a tensor; nothing (None) came")
class NoHook(_Right):
    """The head never runs, or its values are not stored.

    Pass `fwd_hooks=self.fwd_hooks` to the transformer's run_with_hooks, and store the values in
    `self.value_head_output`.
    """

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        return self.base_model(input_ids), self.value_head_output


@visible_mistake(refused_with="is that of the head for the residual stream after block 0")
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


@visible_mistake(refused_with="The tensor of logits")
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


@hidden_mistake(refused_with="`to` casts the transformer and the head alike")
class CastsTheTransformer(_Right):
    """`to` moves the transformer but not the head."""

    def to(self, *args, **kwargs):
        self.base_model.to(*args, print_details=False, **kwargs)
        return self


@hidden_mistake(refused_with="Making the model seeds torch")
class SeedsTorch(_Right):
    """The head is made after torch was seeded, so that what is sampled later does not depend on the run's seed."""

    def make_value_head(self, d_model):
        torch.manual_seed(0)
        return super().make_value_head(d_model)


@hidden_mistake(refused_with="forward_with_value_head changes the training mode")
class PutIntoEvaluation(_Right):
    """Each call puts the model into evaluation mode."""

    def forward_with_value_head(self, input_ids):
        self.eval()
        return super().forward_with_value_head(input_ids)


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


@hidden_mistake(refused_with="is that of a head with a tanh in place of the ReLU")
class Tanh(_Right):
    """The head has a tanh instead of the ReLU."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.Tanh(), nn.Linear(4 * d_model, 1))


@hidden_mistake(refused_with="is that of the head for the last residual stream before it is normalised")
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


@hidden_mistake(refused_with="is one of log-probabilities")
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


@hidden_mistake(refused_with="get_base_model_trainable_params should list the parameters that logits depend on")
class FrozenTransformer(_Right):
    """The transformer is frozen, and only the head could learn."""

    def __init__(self, base_model, use_value_head=True):
        super().__init__(base_model, use_value_head)
        for parameter in nn.Module.parameters(base_model):
            parameter.requires_grad_(False)


@hidden_mistake(refused_with="get_base_model_trainable_params should list the parameters that logits depend on")
class FusedWeightsListed(_Right):
    """Every parameter of the transformer is listed, even those on which nothing depends."""

    def get_base_model_trainable_params(self):
        return [parameter for _, parameter in nn.Module.named_parameters(self.base_model)]


@hidden_mistake(refused_with="should be a tensor; nothing (None) came")
class NothingStored(_Right):
    """The values are returned but not stored."""

    def forward_with_value_head(self, input_ids):
        logits, values = super().forward_with_value_head(input_ids)
        self.value_head_output = None
        return logits, values


@hidden_mistake(refused_with="No gradient of logits and values reaches some parameters of the transformer")
class NoGradientOfLogits(_Right):
    """The logits are detached."""

    def forward_with_value_head(self, input_ids):
        logits, values = super().forward_with_value_head(input_ids)
        return logits.detach(), values


@hidden_mistake(refused_with="No gradient of the values reaches the value head")
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


@hidden_mistake(refused_with="is that of a head with a ReLU6 in place of the ReLU")
class ReluCapped(_Right):
    """The head has a ReLU6, which is a ReLU up to 6."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU6(), nn.Linear(4 * d_model, 1))


@hidden_mistake(refused_with="is that of a head with a GELU in place of the ReLU")
class Gelu(_Right):
    """The head has the transformer's activation."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.GELU(), nn.Linear(4 * d_model, 1))


@hidden_mistake(refused_with="is that of a head with a LeakyReLU in place of the ReLU")
class LeakyRelu(_Right):
    """The head has a LeakyReLU."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.LeakyReLU(), nn.Linear(4 * d_model, 1))


@hidden_mistake(refused_with="The value head's layers have other sizes than wanted")
class WidthWritten(_Right):
    """The width of one transformer is written into the head."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(24, 96), nn.ReLU(), nn.Linear(96, 1))


@hidden_mistake(refused_with="The value head has 3 parameter tensors, and four are wanted")
class LastBiasMissing(_Right):
    """The last layer has no bias."""

    def make_value_head(self, d_model):
        return nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1, bias=False))


@hidden_mistake(refused_with="is that of the head for the last residual stream after the norm's learned scale")
class AfterTheLearnedScale(_Right):
    """The head reads the stream after the last norm's learned scale and bias."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        hooks = [("ln_final.hook_out", self.run_value_head)]
        return self.base_model.run_with_hooks(input_ids, fwd_hooks=hooks), self.value_head_output


@hidden_mistake(refused_with="should be a subclass of rlhf_course.BridgeModel")
class WithoutTheBaseClass(nn.Module):
    """The class does not extend the base class, which has what every model of the course needs."""

    def __init__(self, base_model, use_value_head):
        super().__init__()
        self.base_model, self.value_head_output = base_model, None
        width = base_model.cfg.d_model
        head = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, 1))
        self.value_head = head if use_value_head else None

    @classmethod
    def from_pretrained(cls, model_name, use_value_head=True, **kwargs):
        return cls(load_model(model_name, **kwargs), use_value_head)

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid).squeeze(-1)

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        hooks = [("ln_final.hook_normalized", self.run_value_head)] if self.value_head is not None else []
        return self.base_model.run_with_hooks(input_ids, fwd_hooks=hooks), self.value_head_output


@hidden_mistake(refused_with="of a rollout's size")
class LongTextsCut(_Right):
    """Only the first 30 positions have a value of their own; later ones repeat the last of these."""

    def run_value_head(self, resid, hook):
        values = self.value_head(resid[:, :30]).squeeze(-1)
        rest = values[:, -1:].expand(-1, resid.shape[1] - values.shape[1])
        self.value_head_output = torch.cat([values, rest], dim=1)


@hidden_mistake(refused_with="The tensor of values for many texts")
class LargeBatchesCut(_Right):
    """Only the first 64 texts are evaluated; the values of the first ones stand for those of later ones."""

    def run_value_head(self, resid, hook):
        values = self.value_head(resid[:64]).squeeze(-1)
        self.value_head_output = torch.cat([values, values[: len(resid) - 64]]) if len(resid) > 64 else values


@hidden_mistake
class ReadsThePositionBefore(_Right):
    """The values are shifted by one position, and the first is repeated."""

    def run_value_head(self, resid, hook):
        values = self.value_head(resid).squeeze(-1)
        self.value_head_output = torch.cat([values[:, :1], values[:, :-1]], dim=1)


@hidden_mistake(refused_with="What value_head_output holds after")
class StoresTheLogitsOfTheHook(_Right):
    """Every plain pass of the model runs the head too."""

    def forward(self, input_ids, **kwargs):
        return self.base_model.run_with_hooks(input_ids, fwd_hooks=self.fwd_hooks)


@hidden_mistake(refused_with="is not right")
class DropoutOnValues(_Right):
    """Some values are dropped where the model is in training mode, in which it starts."""

    def run_value_head(self, resid, hook):
        values = self.value_head(resid).squeeze(-1)
        self.value_head_output = nn.functional.dropout(values, 0.5, self.training)


@hidden_mistake(refused_with="is right, but rounded to half precision")
class HalfPrecisionValues(_Right):
    """The values are stored in half precision."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid).squeeze(-1).bfloat16()


@hidden_mistake(refused_with="should have the dtype float32; float64 came")
class DoubleValues(_Right):
    """The values are cast to double precision."""

    def run_value_head(self, resid, hook):
        self.value_head_output = self.value_head(resid).squeeze(-1).double()


@hidden_mistake(refused_with="The tensor of values in double precision")
class CastsTheStream(_Right):
    """The head always computes in single precision."""

    def run_value_head(self, resid, hook):
        head, dtype = self.value_head.float(), resid.dtype
        self.value_head_output = head(resid.float()).squeeze(-1).to(dtype)


@hidden_mistake(refused_with="The gradient at the value head")
class GradientScaled(_Right):
    """The values are right, but their gradient is halved."""

    def run_value_head(self, resid, hook):
        values = self.value_head(resid).squeeze(-1)
        self.value_head_output = values / 2 + values.detach() / 2


@hidden_mistake(refused_with="without a value head is one of log-probabilities")
class LogprobsWithoutHead(_Right):
    """Without a head the logits are normalised."""

    def forward_with_value_head(self, input_ids):
        logits, values = super().forward_with_value_head(input_ids)
        return (logits, values) if self.value_head is not None else (logits.log_softmax(-1), None)


@hidden_mistake(refused_with="generate should continue a text as the transformer does")
class GeneratesTheLikeliestAfterAll(_Right):
    """What is generated is one token shorter than asked for."""

    def generate(self, *args, max_new_tokens=10, **kwargs):
        return super().generate(*args, max_new_tokens=max_new_tokens - 1, **kwargs)


@hidden_mistake(refused_with="for texts of an earlier call, after the weights changed is not right")
class RemembersTheLastIds(_Right):
    """Where a call has the ids of the call before, it gives the same result, whatever the weights are now."""

    last_ids = None

    def forward_with_value_head(self, input_ids):
        key = (torch.is_grad_enabled(), self.training, input_ids.tolist())
        if key != self.last_ids or self.value_head is None or self.value_head_output is None:
            self.last_ids, self.last_result = key, super().forward_with_value_head(input_ids)
        self.value_head_output = self.last_result[1]
        return self.last_result


@hidden_mistake(refused_with="in evaluation mode")
class NoGradientInEvaluation(_Right):
    """In evaluation mode no gradient is computed."""

    def forward_with_value_head(self, input_ids):
        with torch.set_grad_enabled(self.training and torch.is_grad_enabled()):
            return super().forward_with_value_head(input_ids)


@hidden_mistake(refused_with="forward_with_value_head takes hooks off the transformer that were there before the call")
class AllHooksTakenOff(_Right):
    """After a call all hooks are removed from the transformer, also those that were there before it."""

    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        if self.value_head is None:
            return self.base_model(input_ids), None
        try:
            self.base_model.add_hook(*self.value_head_hook)
            return self.base_model(input_ids), self.value_head_output
        finally:
            self.base_model.reset_hooks()


@hidden_mistake(refused_with="forward_with_value_head takes hooks off the transformer that were there before the call")
class HooksOfThePlaceTakenOff(_Right):
    """Before a call all hooks are removed from the place where the head reads the stream, permanent ones too."""

    def forward_with_value_head(self, input_ids):
        self.base_model.hook_dict[self.HOOK_POINT].remove_hooks("both", including_permanent=True)
        return super().forward_with_value_head(input_ids)


@hidden_mistake(refused_with="Under the caller's torch.no_grad, forward_with_value_head computes gradients")
class GradientsSwitchedOn(_Right):
    """Each call computes gradients, also where its caller has switched them off."""

    @torch.enable_grad()
    def forward_with_value_head(self, input_ids):
        return super().forward_with_value_head(input_ids)


@hidden_mistake(refused_with="forward_with_value_head changes a setting of torch for all later code, its auto")
class CastsLeftOn(_Right):
    """A call without automatic casts leaves their dtype changed for all later code."""

    def forward_with_value_head(self, input_ids):
        torch.set_autocast_dtype("cpu", torch.float16)
        return super().forward_with_value_head(input_ids)


@hidden_mistake(refused_with="Making the model changes a setting of torch for all later code, its detection of")
class DetectsAnomalies(_Right):
    """Where a head is made, the detection of anomalies is switched on, which slows all later code down."""

    def make_value_head(self, d_model):
        torch.autograd.set_detect_anomaly(True)
        return super().make_value_head(d_model)


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
        name, run_head = self.value_head_hook
        point = self.base_model.hook_dict[name]
        handle = point.add_hook(run_head)
        try:
            return self.base_model(input_ids), self.value_head_output
        finally:
            handle.hook.remove()
            point.fwd_hooks.remove(handle)


@right_answer
class HeadIterated(_Right):
    def run_value_head(self, resid, hook):
        values = resid
        for layer in self.value_head:
            values = layer(values)
        self.value_head_output = values.squeeze(dim=-1)


@right_answer
class HeadIndexed(_Right):
    def run_value_head(self, resid, hook):
        hidden = torch.relu(self.value_head[0](resid))
        self.value_head_output = self.value_head[-1](hidden)[:, :, 0]


@right_answer
class WeightsMultiplied(_Right):
    def run_value_head(self, resid, hook):
        up, _, down = self.value_head
        hidden = nn.functional.linear(resid, up.weight, up.bias).clamp(min=0)
        self.value_head_output = nn.functional.linear(hidden, down.weight, down.bias).sum(-1)


def _printed(method):
    @functools.wraps(method)
    def wrapper(self, *args, **kwargs):
        print(type(self).__name__, method.__name__, *(tensor.shape for tensor in args if torch.is_tensor(tensor)))
        return method(self, *args, **kwargs)

    return wrapper


@right_answer
class Decorated(_Right):
    @_printed
    def run_value_head(self, resid, hook):
        super().run_value_head(resid, hook)

    @_printed
    def forward_with_value_head(self, input_ids):
        return super().forward_with_value_head(input_ids)


@right_answer
class ReadsTheCache(_Head):
    def forward_with_value_head(self, input_ids):
        self.value_head_output = None
        stored = []
        name = self.HOOK_POINT
        hooks = [(name, lambda resid, hook: stored.append(resid))]
        logits = self.base_model.run_with_hooks(input_ids, fwd_hooks=hooks)
        if self.value_head is not None:
            self.run_value_head(stored[0], None)
        return logits, self.value_head_output


@right_answer
class ListReturned(_Head):
    def forward_with_value_head(self, input_ids):
        self.value_head_output = values = None
        if self.value_head is None:
            return [self(input_ids), values]
        return [self.base_model.run_with_hooks(input_ids, fwd_hooks=self.fwd_hooks), self.value_head_output]
