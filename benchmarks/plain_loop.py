"""Define a straightforward RLHF loop on unmodified TransformerLens, the baseline of the speed benchmarks.

It uses the library's own `generate`, attention and activation, the logits of policy and reference at every position,
and AdamW with its defaults. The functions of the objective are the reference answers.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge

from rlhf_course import (
    ReplayMemory,
    ReplayMinibatch,
    RLHFArgs,
    calc_clipped_surrogate_objective,
    calc_value_function_loss,
)
from rlhf_course.learner_package import imported_answer
from rlhf_course.rl.models import EMBEDDED, freeze_unused_parameters


class PlainLoop:
    """Run the phases of one run."""

    def __init__(self, args: RLHFArgs) -> None:
        torch.manual_seed(args.seed)
        self.args = args
        self.policy, self.reference = _stock_bridge(args.base_model), _stock_bridge(args.base_model)
        width = self.policy.cfg.d_model
        self.head = nn.Sequential(nn.Linear(width, 4 * width), nn.ReLU(), nn.Linear(4 * width, 1))
        base = [parameter for _, parameter in nn.Module.named_parameters(self.policy) if parameter.requires_grad]
        self.parameters = [*base, *self.head.parameters()]
        groups = [{"params": base, "lr": args.base_lr}, {"params": self.head.parameters(), "lr": args.head_lr}]
        self.optimizer = torch.optim.AdamW(groups, maximize=True)
        self.prefix_len = self.policy.to_tokens(args.prefix, prepend_bos=args.prepend_bos).shape[1]

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and values at every position."""
        values: list[Tensor] = []
        hook = ("ln_final.hook_normalized", lambda resid, hook: values.append(self.head(resid).squeeze(-1)))
        return self.policy.run_with_hooks(ids, fwd_hooks=[hook]), values[0]

    @torch.no_grad()
    def sample(self) -> Tensor:
        """Sample a batch of texts with the library's `generate`."""
        args = self.args
        prompt = self.policy.to_tokens(args.prefix, prepend_bos=args.prepend_bos).expand(args.batch_size, -1)
        settings: dict[str, Any] = {
            "max_new_tokens": args.gen_len,
            "temperature": args.temperature,
            "top_k": args.top_k,
        }
        return self.policy.generate(prompt, stop_at_eos=False, verbose=False, return_type="tokens", **settings)

    @torch.no_grad()
    def rollout_phase(self, ids: Tensor | None = None) -> ReplayMemory:
        """Sample a batch of texts unless it is given, and run policy and reference on it."""
        args = self.args
        ids = self.sample() if ids is None else ids
        logits, values = self.forward(ids)
        ref_logits = self.reference(ids)
        rewards = args.reward_fn(self.policy.tokenizer.batch_decode(ids))
        if args.normalize_reward:
            rewards = imported_answer("normalize_reward")(rewards)
        logprobs = imported_answer("get_logprobs")(logits, ids, self.prefix_len)
        advantages = imported_answer("compute_advantages")(values, rewards, self.prefix_len)
        return ReplayMemory(args, ids, logprobs, advantages, values, ref_logits)

    def objective(self, minibatch: ReplayMinibatch) -> Tensor:
        """Return clipped surrogate - value loss + entropy bonus - KL penalty."""
        args, gen = self.args, self.args.gen_len
        logits, values = self.forward(minibatch.sample_ids)
        logprobs = imported_answer("get_logprobs")(logits, minibatch.sample_ids, self.prefix_len)
        chosen = slice(-gen - 1, -1)
        surrogate = calc_clipped_surrogate_objective(
            logprobs, minibatch.logprobs, minibatch.advantages, args.clip_coef, gen
        )
        value_loss = calc_value_function_loss(values[:, chosen], minibatch.returns, args.vf_coef, gen)
        bonus = imported_answer("calc_entropy_bonus")(logits[:, chosen], args.ent_coef, gen)
        penalty = imported_answer("calc_kl_penalty")(
            logits[:, chosen], minibatch.ref_logits[:, chosen], args.kl_coef, gen
        )
        return surrogate - value_loss + bonus - penalty

    def learning_phase(self, memory: ReplayMemory) -> float:
        """Make one optimizer step for each minibatch, and return the mean objective."""
        objectives = []
        for minibatch in memory.get_minibatches():
            self.optimizer.zero_grad()
            objective = self.objective(minibatch)
            objective.backward()
            nn.utils.clip_grad_norm_(self.parameters, self.args.max_grad_norm)
            self.optimizer.step()
            objectives.append(objective.item())
        return sum(objectives) / len(objectives)


def _stock_bridge(name: str) -> TransformerBridge:
    """Load a model with no change of the library's but dropout 0."""
    folder = str(EMBEDDED) if name == "embedded" else name
    dropout = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}
    bridge = TransformerBridge.boot_transformers(folder, device="cpu", hf_config_overrides=dropout)
    freeze_unused_parameters(bridge)
    return bridge
