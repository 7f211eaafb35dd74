"""Right answers to `RLHFTrainer`, in other words than the reference's."""

import part1_rlhf
import torch
from part1_rlhf import calc_entropy_bonus, calc_kl_penalty, compute_advantages, get_logprobs, normalize_reward
from torch import nn

from rlhf_course import (
    ReplayMemory,
    Trainer,
    calc_clipped_surrogate_objective,
    calc_value_function_loss,
    get_samples,
)


class _Whole(Trainer):
    def compute_rlhf_objective(self, minibatch):
        args = self.args
        logits, values = self.model.forward_with_value_head(minibatch.sample_ids)
        chosen = slice(self.prefix_len - 1, -1)
        logprobs = get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        surrogate = calc_clipped_surrogate_objective(
            logprobs, minibatch.logprobs, minibatch.advantages, args.clip_coef, args.gen_len
        )
        value_loss = calc_value_function_loss(values[:, chosen], minibatch.returns, args.vf_coef, args.gen_len)
        bonus = calc_entropy_bonus(logits[:, chosen], args.ent_coef, args.gen_len)
        penalty = calc_kl_penalty(logits[:, chosen], minibatch.ref_logits[:, chosen], args.kl_coef, args.gen_len)
        self.log(surrogate=surrogate, bonus=bonus)
        return surrogate - penalty + bonus - value_loss

    def rollout_phase(self):
        args = self.args
        ids, samples = get_samples(
            self.model, args.prefix, args.batch_size, args.gen_len, args.temperature, args.top_k, args.prepend_bos
        )
        rewards = args.reward_fn(samples).to(ids.device)
        rewards = normalize_reward(rewards) if args.normalize_reward else rewards
        with torch.inference_mode():
            logits, values = self.model.forward_with_value_head(ids)
            ref_logits = self.ref_model(ids)
        logits, values, ref_logits = logits.clone(), values.clone(), ref_logits.clone()
        advantages = compute_advantages(values, rewards, self.prefix_len)
        return ReplayMemory(args, ids, get_logprobs(logits, ids, self.prefix_len), advantages, values, ref_logits)

    def learning_phase(self, memory):
        total = count = 0
        for minibatch in memory.get_minibatches():
            objective = self.compute_rlhf_objective(minibatch)
            objective.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=self.args.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1
            total, count = total + objective.item(), count + 1
        self.scheduler.step()
        return total / count


class ImportsAtTheTop(_Whole):
    """Functions imported by name, slices by prefix, with a log of the terms, zero_grad last."""


class TensorReturned(_Whole):
    """The mean objective as a tensor of no dimension; the model's gradients zeroed between objective and backward."""

    def learning_phase(self, memory):
        objectives = []
        for minibatch in memory.get_minibatches():
            objective = self.compute_rlhf_objective(minibatch)
            self.model.zero_grad(set_to_none=False)
            self.optimizer.zero_grad()
            objective.backward()
            groups = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(groups, self.args.max_grad_norm)
            self.optimizer.step()
            self.step = self.step + 1
            objectives.append(objective.detach())
        self.scheduler.step()
        return torch.stack(objectives).mean()


class RewardBeforeTheForwardPass(_Whole):
    """Another order in the rollout, by keywords, and the population's deviation."""

    @torch.no_grad()
    def rollout_phase(self):
        args = self.args
        names = ("gen_len", "temperature", "top_k", "prepend_bos")
        sampling = {name: getattr(args, name) for name in names}
        ids, samples = get_samples(model=self.model, prompt=args.prefix, batch_size=args.batch_size, **sampling)
        rewards = self.reward(samples)
        if args.normalize_reward:
            rewards = (rewards - rewards.mean()) / (rewards.std(correction=0) + 1e-5)
        ref_logits = self.ref_model(ids)
        logits, values = self.model.forward_with_value_head(ids)
        return ReplayMemory(
            args,
            sample_ids=ids,
            logprobs=part1_rlhf.get_logprobs(logits, ids, self.prefix_len),
            advantages=part1_rlhf.compute_advantages(values, rewards, self.prefix_len),
            values=values,
            ref_logits=ref_logits,
        )


class PenaltyFirst(_Whole):
    """The terms in another order, from slices made first."""

    def compute_rlhf_objective(self, minibatch):
        args, gen = self.args, self.args.gen_len
        ids = minibatch.sample_ids
        all_logits, all_values = self.model.forward_with_value_head(ids)
        logits, values, ref = (one[:, :-1][:, -gen:] for one in (all_logits, all_values, minibatch.ref_logits))
        objective = -part1_rlhf.calc_kl_penalty(logits, ref, args.kl_coef, gen)
        objective = objective + part1_rlhf.calc_entropy_bonus(logits, args.ent_coef, gen)
        objective = objective - calc_value_function_loss(values, minibatch.returns, args.vf_coef, gen)
        logprobs = logits.log_softmax(-1).gather(-1, ids[:, -gen:, None])[..., 0]
        return objective + calc_clipped_surrogate_objective(
            logprobs, minibatch.logprobs, minibatch.advantages, args.clip_coef, gen
        )


class SettingsKept(_Whole):
    """What the settings hold is kept when the trainer is made; gradients are clipped by hand."""

    def __init__(self, args):
        super().__init__(args)
        self.gen_len, self.max_norm = args.gen_len, args.max_grad_norm

    def compute_rlhf_objective(self, minibatch):
        objective = super().compute_rlhf_objective(minibatch)
        assert minibatch.logprobs.shape[1] == self.gen_len
        return objective.reshape(())

    def learning_phase(self, memory):
        returned = []
        for minibatch in memory.get_minibatches():
            self.optimizer.zero_grad(set_to_none=True)
            objective = self.compute_rlhf_objective(minibatch)
            objective.backward()
            gradients = [one.grad for one in self.model.parameters() if one.grad is not None]
            norm = torch.stack([one.norm() for one in gradients]).norm()
            for gradient in gradients:
                gradient *= min(1.0, self.max_norm / float(norm))
            self.optimizer.step()
            self.step += 1
            returned.append(float(objective))
        self.scheduler.step()
        return torch.tensor(returned).mean().item()


class NothingButNoGrad(_Whole):
    """The rollout detaches what it keeps, in place of a decorator; the memory is filled by position."""

    def rollout_phase(self):
        args = self.args
        ids, texts = get_samples(
            self.model,
            args.prefix,
            args.batch_size,
            args.gen_len,
            args.temperature,
            top_k=args.top_k,
            prepend_bos=args.prepend_bos,
        )
        logits, values = (one.detach() for one in self.model.forward_with_value_head(ids))
        reward = self.args.reward_fn(texts)
        if args.normalize_reward:
            reward = normalize_reward(reward.clone())
        ref_logits = self.ref_model(ids).detach()
        logprobs = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0][:, -args.gen_len :]
        return ReplayMemory(
            args, ids, logprobs, compute_advantages(values, reward, self.prefix_len), values, ref_logits
        )
