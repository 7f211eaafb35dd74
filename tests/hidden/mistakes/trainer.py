"""Known mistakes of `RLHFTrainer`."""

import part1_rlhf
import torch
from torch import nn

from rlhf_course import (
    ReplayMemory,
    Trainer,
    calc_clipped_surrogate_objective,
    calc_value_function_loss,
    get_samples,
)


class _Right(Trainer):
    signs = (1, -1, 1, -1)

    def chosen(self, tensor):
        gen_len = self.args.gen_len
        return tensor[:, -gen_len - 1 : -1]

    def compute_rlhf_objective(self, minibatch):
        return sum(sign * term for sign, term in zip(self.signs, self.terms(minibatch), strict=True))

    def terms(self, minibatch):
        args, gen_len = self.args, self.args.gen_len
        whole_logits, whole_values = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(whole_logits, minibatch.sample_ids, self.prefix_len)
        logits, values = self.chosen(whole_logits), self.chosen(whole_values)
        return [
            calc_clipped_surrogate_objective(
                logprobs, minibatch.logprobs, minibatch.advantages, args.clip_coef, gen_len
            ),
            calc_value_function_loss(values, minibatch.returns, args.vf_coef, gen_len),
            part1_rlhf.calc_entropy_bonus(logits, args.ent_coef, gen_len),
            part1_rlhf.calc_kl_penalty(logits, self.chosen(minibatch.ref_logits), args.kl_coef, gen_len),
        ]

    def sampling(self):
        args = self.args
        return {
            "gen_len": args.gen_len,
            "temperature": args.temperature,
            "top_k": args.top_k,
            "prepend_bos": args.prepend_bos,
        }

    def used_reward(self, rewards):
        return part1_rlhf.normalize_reward(rewards) if self.args.normalize_reward else rewards

    @torch.no_grad()
    def rollout_phase(self):
        sample_ids, samples = get_samples(self.model, self.args.prefix, self.args.batch_size, **self.sampling())
        logits, values = self.model.forward_with_value_head(sample_ids)
        return self.remember(
            sample_ids, logits, values, self.ref_model(sample_ids), self.used_reward(self.reward(samples))
        )

    def remember(self, sample_ids, logits, values, ref_logits, rewards):
        return ReplayMemory(
            args=self.args,
            sample_ids=sample_ids,
            logprobs=part1_rlhf.get_logprobs(logits, sample_ids, self.prefix_len),
            advantages=part1_rlhf.compute_advantages(values, rewards, self.prefix_len),
            values=values,
            ref_logits=ref_logits,
        )

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return objective.item()

    def learning_phase(self, memory):
        objectives = [self.step_on(minibatch) for minibatch in memory.get_minibatches()]
        self.scheduler.step()
        return sum(objectives) / len(objectives)


class AddsValueLoss(_Right):
    """The value loss is added; the objective is maximised, so a loss is taken away."""

    signs = (1, 1, 1, -1)


class AddsPenalty(_Right):
    """The KL penalty is added; the objective is maximised, so a penalty is taken away."""

    signs = (1, -1, 1, 1)


class SubtractsBonus(_Right):
    """The entropy bonus is taken away; a bonus is added to an objective that is maximised."""

    signs = (1, -1, -1, -1)


class MinimizesSurrogate(_Right):
    """The clipped surrogate has a minus, as in a loss; here the objective is maximised."""

    signs = (-1, -1, 1, -1)


class WholeSignTurned(_Right):
    """The whole objective has its sign turned, as a loss would have; the optimizer maximises."""

    signs = (-1, 1, -1, 1)


class NoPenalty(_Right):
    """The KL penalty is missing from the objective."""

    signs = (1, -1, 1, 0)


class NoBonus(_Right):
    """The entropy bonus is missing from the objective."""

    signs = (1, -1, 0, -1)


class NoValueLoss(_Right):
    """The value loss is missing from the objective, so the value head never learns."""

    signs = (1, 0, 1, -1)


class LateSlice(_Right):
    """Logits and values are sliced one position late ([:, -gen_len:]): those that chose the generated tokens are [:, -gen_len-1:-1]."""

    def chosen(self, tensor):
        return tensor[:, -self.args.gen_len :]


class EarlySlice(_Right):
    """Logits and values are taken from the start of the texts: those that chose the generated tokens are [:, -gen_len-1:-1]."""

    def chosen(self, tensor):
        return tensor[:, : self.args.gen_len]


class DetachedObjective(_Right):
    """No gradient reaches the model: the objective was computed without gradients."""

    @torch.no_grad()
    def compute_rlhf_objective(self, minibatch):
        return super().compute_rlhf_objective(minibatch)


class NeverNormalizes(_Right):
    """The reward is not normalised though the settings ask for it (args.normalize_reward)."""

    def used_reward(self, rewards):
        return rewards


class AlwaysNormalizes(_Right):
    """The reward is normalised though the settings do not ask for it: look at args.normalize_reward."""

    def used_reward(self, rewards):
        return part1_rlhf.normalize_reward(rewards)


class ReferenceIsPolicy(_Right):
    """`ref_logits` come from the policy; they come from self.ref_model, or the KL penalty has nothing to hold on to."""

    def remember(self, sample_ids, logits, values, ref_logits, rewards):
        return super().remember(sample_ids, logits, values, logits, rewards)


class LogprobsOfReference(_Right):
    """The logprobs come from the reference model; PPO's ratio compares with the policy that sampled."""

    def remember(self, sample_ids, logits, values, ref_logits, rewards):
        memory = super().remember(sample_ids, logits, values, ref_logits, rewards)
        memory.logprobs = part1_rlhf.get_logprobs(ref_logits, sample_ids, self.prefix_len)
        return memory


class SamplesReference(_Right):
    """The texts are sampled from the reference model; the policy has to learn from its own."""

    @torch.no_grad()
    def rollout_phase(self):
        sample_ids, samples = get_samples(self.ref_model, self.args.prefix, self.args.batch_size, **self.sampling())
        logits, values = self.model.forward_with_value_head(sample_ids)
        return self.remember(
            sample_ids, logits, values, self.ref_model(sample_ids), self.used_reward(self.reward(samples))
        )


class DefaultTopK(_Right):
    """`top_k` is not passed to get_samples, whose own default is another than the settings'."""

    def sampling(self):
        return {name: value for name, value in super().sampling().items() if name != "top_k"}


class DefaultTemperature(_Right):
    """`temperature` is not passed to get_samples, whose own default is another than the settings'."""

    def sampling(self):
        return {name: value for name, value in super().sampling().items() if name != "temperature"}


class DefaultLength(_Right):
    """`gen_len` is not passed to get_samples, whose own default is another than the settings'."""

    def sampling(self):
        return {name: value for name, value in super().sampling().items() if name != "gen_len"}


class RolloutWithGradient(_Right):
    """The rollout runs with gradients: what it remembers should carry none (torch.no_grad)."""

    def rollout_phase(self):
        with torch.enable_grad():
            return super().rollout_phase.__wrapped__(self)


class GradientsPileUp(_Right):
    """Gradients pile up over the minibatches: zero_grad is missing."""

    def step_on(self, minibatch):
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return objective.item()


class NotClipped(_Right):
    """The gradient's norm is not clipped before the step (nn.utils.clip_grad_norm_, args.max_grad_norm)."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        self.optimizer.step()
        self.step += 1
        return objective.item()


class StepNotCounted(_Right):
    """`self.step` does not count the optimizer's steps: add 1 after each."""

    def step_on(self, minibatch):
        before = self.step
        result = super().step_on(minibatch)
        self.step = before
        return result


class StepCountedOnce(_Right):
    """`self.step` grows once a phase; it counts optimizer steps, one for each minibatch."""

    def learning_phase(self, memory):
        before = self.step
        result = super().learning_phase(memory)
        self.step = before + 1
        return result


class NoSchedule(_Right):
    """The scheduler is never stepped: after the last minibatch call self.scheduler.step()."""

    def learning_phase(self, memory):
        objectives = [self.step_on(minibatch) for minibatch in memory.get_minibatches()]
        return sum(objectives) / len(objectives)


class ScheduleEveryMinibatch(_Right):
    """The scheduler is stepped after every minibatch; once a phase is right."""

    def learning_phase(self, memory):
        objectives = []
        for minibatch in memory.get_minibatches():
            objectives.append(self.step_on(minibatch))
            self.scheduler.step()
        return sum(objectives) / len(objectives)


class ScheduleFirst(_Right):
    """The scheduler is stepped before learning; the phase should learn at its own rate, and the schedule moves on after it."""

    def learning_phase(self, memory):
        self.scheduler.step()
        objectives = [self.step_on(minibatch) for minibatch in memory.get_minibatches()]
        return sum(objectives) / len(objectives)


class ReturnsLast(_Right):
    """You return the last minibatch's objective; the mean over all is asked for."""

    def learning_phase(self, memory):
        objectives = [self.step_on(minibatch) for minibatch in memory.get_minibatches()]
        self.scheduler.step()
        return objectives[-1]


class ReturnsSum(_Right):
    """You return the sum of the objectives; their mean is asked for."""

    def learning_phase(self, memory):
        objectives = [self.step_on(minibatch) for minibatch in memory.get_minibatches()]
        self.scheduler.step()
        return sum(objectives)


class ReturnsNothing(_Right):
    """`learning_phase` returns nothing; the mean objective is asked for."""

    def learning_phase(self, memory):
        super().learning_phase(memory)


class OneMinibatch(_Right):
    """Only the first minibatch is learnt from: something ends the loop early, such as a return inside it."""

    def learning_phase(self, memory):
        objectives = [self.step_on(minibatch) for minibatch in list(memory.get_minibatches())[:1]]
        self.scheduler.step()
        return sum(objectives) / len(objectives)


class OneStep(_Right):
    """The optimizer steps once, after all minibatches; it steps after each."""

    def learning_phase(self, memory):
        self.optimizer.zero_grad()
        objectives = []
        for minibatch in memory.get_minibatches():
            objective = self.compute_rlhf_objective(minibatch)
            objective.backward()
            objectives.append(objective.item())
        nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        self.scheduler.step()
        return sum(objectives) / len(objectives)
