"""Wrong and right answers to `RLHFTrainer`."""

from dataclasses import replace
from functools import wraps

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
from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


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


@visible_mistake(refused_with="it looks as if the value loss has the other sign")
class AddsValueLoss(_Right):
    """The value loss is added; the objective is maximised, so a loss is subtracted."""

    signs = (1, 1, 1, -1)


@visible_mistake(refused_with="it looks as if the KL penalty has the other sign")
class AddsPenalty(_Right):
    """The KL penalty is added; the objective is maximised, so a penalty is subtracted."""

    signs = (1, -1, 1, 1)


@visible_mistake(refused_with="it looks as if the entropy bonus has the other sign")
class SubtractsBonus(_Right):
    """The entropy bonus is subtracted; a bonus is added to an objective that is maximised."""

    signs = (1, -1, -1, -1)


@visible_mistake(refused_with="it looks as if the clipped surrogate has the other sign")
class MinimizesSurrogate(_Right):
    """The clipped surrogate has a minus, as in a loss; here the objective is maximised."""

    signs = (-1, -1, 1, -1)


@visible_mistake(refused_with="has the wrong sign")
class WholeSignTurned(_Right):
    """The whole objective has the sign of a loss; the optimizer maximises."""

    signs = (-1, 1, -1, 1)


@visible_mistake(refused_with="it looks as if the KL penalty is missing")
class NoPenalty(_Right):
    """The KL penalty is missing from the objective."""

    signs = (1, -1, 1, 0)


@visible_mistake(refused_with="it looks as if the entropy bonus is missing")
class NoBonus(_Right):
    """The entropy bonus is missing from the objective."""

    signs = (1, -1, 0, -1)


@visible_mistake(refused_with="it looks as if the value loss is missing")
class NoValueLoss(_Right):
    """The value loss is missing from the objective, so the value head never learns."""

    signs = (1, 0, 1, -1)


@visible_mistake
class SwapsSurrogate(_Right):
    """The surrogate gets the old log-probabilities first: its first argument is those of the policy as it is now."""

    def terms(self, minibatch):
        logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        surrogate = calc_clipped_surrogate_objective(
            minibatch.logprobs, logprobs, minibatch.advantages, self.args.clip_coef, self.args.gen_len
        )
        return [surrogate, *super().terms(minibatch)[1:]]


@visible_mistake
class SwapsPenalty(_Right):
    """The KL penalty gets the reference's logits first: the divergence is that of the policy from the reference."""

    def terms(self, minibatch):
        whole_logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
        logits, ref_logits = self.chosen(whole_logits), self.chosen(minibatch.ref_logits)
        penalty = part1_rlhf.calc_kl_penalty(ref_logits, logits, self.args.kl_coef, self.args.gen_len)
        return [*super().terms(minibatch)[:3], penalty]


@visible_mistake
class LearnsAdvantages(_Right):
    """The value loss gets the advantages; values are compared with the returns, minibatch.returns."""

    def terms(self, minibatch):
        return super().terms(replace(minibatch, returns=minibatch.advantages))


@visible_mistake
class LateSlice(_Right):
    """Logits and values are sliced one position late ([:, -gen_len:]).

    The generated tokens were chosen from those at [:, -gen_len-1:-1].
    """

    def chosen(self, tensor):
        return tensor[:, -self.args.gen_len :]


@visible_mistake
class LateReference(_Right):
    """The reference's logits are sliced one position late ([:, -gen_len:]); those of the policy are not.

    The generated tokens were chosen from those at [:, -gen_len-1:-1], of either model.
    """

    def terms(self, minibatch):
        whole_logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
        logits, ref_logits = self.chosen(whole_logits), minibatch.ref_logits[:, -self.args.gen_len :]
        penalty = part1_rlhf.calc_kl_penalty(logits, ref_logits, self.args.kl_coef, self.args.gen_len)
        return [*super().terms(minibatch)[:3], penalty]


@visible_mistake
class EarlySlice(_Right):
    """Logits and values are taken from the start of the texts.

    The generated tokens were chosen from those at [:, -gen_len-1:-1].
    """

    def chosen(self, tensor):
        return tensor[:, : self.args.gen_len]


@visible_mistake(refused_with="The objective's gradient does not reach all of the value head")
class DetachedObjective(_Right):
    """No gradient reaches the model: the objective was computed without gradients."""

    @torch.no_grad()
    def compute_rlhf_objective(self, minibatch):
        return super().compute_rlhf_objective(minibatch)


@visible_mistake(refused_with="the last advantage is made from the normalised reward")
class NeverNormalizes(_Right):
    """The reward is not normalised although args.normalize_reward is True."""

    def used_reward(self, rewards):
        return rewards


@visible_mistake(refused_with="args.normalize_reward is False")
class AlwaysNormalizes(_Right):
    """The reward is normalised although args.normalize_reward is False."""

    def used_reward(self, rewards):
        return part1_rlhf.normalize_reward(rewards)


@visible_mistake(refused_with="they are the reference model's, at every position")
class ReferenceIsPolicy(_Right):
    """`ref_logits` come from the policy; compute them with self.ref_model, or the KL penalty is always 0."""

    def remember(self, sample_ids, logits, values, ref_logits, rewards):
        return super().remember(sample_ids, logits, values, logits, rewards)


@visible_mistake(refused_with="they are those of the policy that sampled, at temperature 1")
class LogprobsOfReference(_Right):
    """The logprobs come from the reference model; PPO's ratio needs those of the policy that sampled."""

    def remember(self, sample_ids, logits, values, ref_logits, rewards):
        memory = super().remember(sample_ids, logits, values, ref_logits, rewards)
        memory.logprobs = part1_rlhf.get_logprobs(ref_logits, sample_ids, self.prefix_len)
        return memory


@visible_mistake(refused_with="Only the policy's top_k likeliest tokens may be sampled")
class SamplesReference(_Right):
    """The texts are sampled from the reference model; the policy has to learn from its own texts."""

    @torch.no_grad()
    def rollout_phase(self):
        sample_ids, samples = get_samples(self.ref_model, self.args.prefix, self.args.batch_size, **self.sampling())
        logits, values = self.model.forward_with_value_head(sample_ids)
        return self.remember(
            sample_ids, logits, values, self.ref_model(sample_ids), self.used_reward(self.reward(samples))
        )


@visible_mistake(refused_with="Only the policy's top_k likeliest tokens may be sampled")
class DefaultTopK(_Right):
    """`top_k` is not passed to get_samples, whose default differs from the settings."""

    def sampling(self):
        return {name: value for name, value in super().sampling().items() if name != "top_k"}


@visible_mistake(refused_with="pass args.temperature")
class DefaultTemperature(_Right):
    """`temperature` is not passed to get_samples, whose default differs from the settings."""

    def sampling(self):
        return {name: value for name, value in super().sampling().items() if name != "temperature"}


@visible_mistake(refused_with="CourseError")
class DefaultBeginning(_Right):
    """`prepend_bos` is not passed to get_samples, whose default differs from the settings."""

    def sampling(self):
        return {name: value for name, value in super().sampling().items() if name != "prepend_bos"}


@visible_mistake(refused_with="CourseError")
class DefaultLength(_Right):
    """`gen_len` is not passed to get_samples, whose default differs from the settings."""

    def sampling(self):
        return {name: value for name, value in super().sampling().items() if name != "gen_len"}


@visible_mistake(refused_with="what the memory holds carries a gradient; run the rollout under torch.no_grad()")
class RolloutWithGradient(_Right):
    """The rollout runs with gradients: the memory's tensors should carry none (torch.no_grad)."""

    def rollout_phase(self):
        with torch.enable_grad():
            return super().rollout_phase.__wrapped__(self)


@visible_mistake
class GradientsPileUp(_Right):
    """Gradients accumulate over the minibatches: zero_grad is missing."""

    def step_on(self, minibatch):
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return objective.item()


@visible_mistake
class NotClipped(_Right):
    """The gradient's norm is not clipped before the step (nn.utils.clip_grad_norm_, args.max_grad_norm)."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        self.optimizer.step()
        self.step += 1
        return objective.item()


@visible_mistake(refused_with="self.step should grow by one with each step of the optimizer, one for each")
class StepNotCounted(_Right):
    """`self.step` does not count the optimizer's steps: add 1 after each."""

    def step_on(self, minibatch):
        before = self.step
        result = super().step_on(minibatch)
        self.step = before
        return result


@visible_mistake(refused_with="self.step should grow by one with each step of the optimizer, one for each")
class StepCountedOnce(_Right):
    """`self.step` grows by one in a phase; it counts optimizer steps, one for each minibatch."""

    def learning_phase(self, memory):
        before = self.step
        result = super().learning_phase(memory)
        self.step = before + 1
        return result


@visible_mistake(refused_with="the scheduler is stepped once, at its end")
class NoSchedule(_Right):
    """The scheduler is never stepped: after the last minibatch call self.scheduler.step()."""

    def learning_phase(self, memory):
        objectives = [self.step_on(minibatch) for minibatch in memory.get_minibatches()]
        return sum(objectives) / len(objectives)


@visible_mistake
class ScheduleEveryMinibatch(_Right):
    """The scheduler is stepped after every minibatch; step it once in a phase."""

    def learning_phase(self, memory):
        objectives = []
        for minibatch in memory.get_minibatches():
            objectives.append(self.step_on(minibatch))
            self.scheduler.step()
        return sum(objectives) / len(objectives)


@visible_mistake(refused_with="the scheduler is stepped once, at its end")
class ScheduleFirst(_Right):
    """The scheduler is stepped before learning; step it after the last minibatch, or the phase uses a later rate."""

    def learning_phase(self, memory):
        self.scheduler.step()
        objectives = [self.step_on(minibatch) for minibatch in memory.get_minibatches()]
        return sum(objectives) / len(objectives)


@visible_mistake(refused_with="it is the mean of the objectives of all minibatches")
class ReturnsLast(_Right):
    """You return the last minibatch's objective; return the mean over all."""

    def learning_phase(self, memory):
        objectives = [self.step_on(minibatch) for minibatch in memory.get_minibatches()]
        self.scheduler.step()
        return objectives[-1]


@visible_mistake(refused_with="it is the mean of the objectives of all minibatches")
class ReturnsSum(_Right):
    """You return the sum of the objectives; return their mean."""

    def learning_phase(self, memory):
        objectives = [self.step_on(minibatch) for minibatch in memory.get_minibatches()]
        self.scheduler.step()
        return sum(objectives)


@visible_mistake(refused_with="learning_phase should return the mean objective; nothing came")
class ReturnsNothing(_Right):
    """`learning_phase` returns nothing; return the mean objective."""

    def learning_phase(self, memory):
        super().learning_phase(memory)


@visible_mistake(refused_with="the objective is computed of every minibatch of the memory, in order")
class OneMinibatch(_Right):
    """Only the first minibatch is used: something ends the loop early, such as a return inside it."""

    def learning_phase(self, memory):
        objectives = [self.step_on(minibatch) for minibatch in list(memory.get_minibatches())[:1]]
        self.scheduler.step()
        return sum(objectives) / len(objectives)


@visible_mistake
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


@visible_mistake(refused_with="it goes down the objective, and the optimizer maximises")
class Descends(_Right):
    """Learning goes down the objective: `backward` runs on minus the objective, but the optimizer maximises."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        (-objective).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return objective.item()


class _Parts(Trainer):
    """A right answer whose methods the hidden mistakes override."""

    def terms(self, minibatch):
        args, gen = self.args, self.args.gen_len
        logits, values = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        logits, values, ref_logits = (tensor[:, -gen - 1 : -1] for tensor in (logits, values, minibatch.ref_logits))
        return {
            "surrogate": calc_clipped_surrogate_objective(
                logprobs, minibatch.logprobs, minibatch.advantages, args.clip_coef, gen
            ),
            "value_loss": calc_value_function_loss(values, minibatch.returns, args.vf_coef, gen),
            "bonus": part1_rlhf.calc_entropy_bonus(logits, args.ent_coef, gen),
            "penalty": part1_rlhf.calc_kl_penalty(logits, ref_logits, args.kl_coef, gen),
        }

    def compute_rlhf_objective(self, minibatch):
        terms = self.terms(minibatch)
        return terms["surrogate"] - terms["value_loss"] + terms["bonus"] - terms["penalty"]

    def sampled(self):
        args = self.args
        return get_samples(
            self.model,
            args.prefix,
            args.batch_size,
            gen_len=args.gen_len,
            temperature=args.temperature,
            top_k=args.top_k,
            prepend_bos=args.prepend_bos,
        )

    def rewarded(self, samples):
        rewards = self.reward(samples)
        return part1_rlhf.normalize_reward(rewards) if self.args.normalize_reward else rewards

    @torch.no_grad()
    def rollout_phase(self):
        sample_ids, samples = self.sampled()
        return self.remembered(sample_ids, self.rewarded(samples))

    def remembered(self, sample_ids, rewards):
        logits, values = self.model.forward_with_value_head(sample_ids)
        return ReplayMemory(
            args=self.args,
            sample_ids=sample_ids,
            logprobs=part1_rlhf.get_logprobs(logits, sample_ids, self.prefix_len),
            advantages=part1_rlhf.compute_advantages(values, rewards, self.prefix_len),
            values=values,
            ref_logits=self.ref_model(sample_ids),
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
        objectives = [self.step_on(minibatch) for minibatch in self.used(memory)]
        self.scheduler.step()
        return sum(objectives) / len(objectives)

    def used(self, memory):
        return list(memory.get_minibatches())


@hidden_mistake
class RewardAdded(_Parts):
    """The mean return is added to the objective; the reward acts through the advantages."""

    def compute_rlhf_objective(self, minibatch):
        return super().compute_rlhf_objective(minibatch) + minibatch.returns.mean()


@hidden_mistake(refused_with="every term but the reference's logits and what the minibatch holds passes")
class PenaltyWithoutGradient(_Parts):
    """The KL penalty passes no gradient on, so that it cannot hold the policy back."""

    def compute_rlhf_objective(self, minibatch):
        terms = self.terms(minibatch)
        return terms["surrogate"] - terms["value_loss"] + terms["bonus"] - terms["penalty"].detach()


@hidden_mistake
class DefaultCoefficients(_Parts):
    """The coefficients are the settings' defaults, whatever the settings are."""

    def terms(self, minibatch):
        own = self.args
        self.args = replace(own, vf_coef=0.15, ent_coef=0.001, kl_coef=2.5)
        terms = super().terms(minibatch)
        self.args = own
        return terms


@hidden_mistake
class FixedClip(_Parts):
    """The ratio is clipped at 0.2, whatever the settings say."""

    def terms(self, minibatch):
        logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        surrogate = calc_clipped_surrogate_objective(
            logprobs, minibatch.logprobs, minibatch.advantages, 0.2, self.args.gen_len
        )
        return {**super().terms(minibatch), "surrogate": surrogate}


@hidden_mistake(refused_with="it looks as if the clipped surrogate is missing")
class RatioOfItself(_Parts):
    """The ratio is that of the new policy to itself, which is always 1."""

    def terms(self, minibatch):
        logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        surrogate = calc_clipped_surrogate_objective(
            logprobs, logprobs.detach(), minibatch.advantages, self.args.clip_coef, self.args.gen_len
        )
        return {**super().terms(minibatch), "surrogate": surrogate}


@hidden_mistake(refused_with="The objective's gradient does not reach all of the value head")
class ValuesDetached(_Parts):
    """The value loss passes no gradient on, so that the head never learns."""

    def terms(self, minibatch):
        terms = super().terms(minibatch)
        return {**terms, "value_loss": terms["value_loss"].detach()}


@hidden_mistake(refused_with="Each text should start with the settings' prefix (args.prefix")
class FixedPrompt(_Parts):
    """The texts start with "This is", whatever the settings say."""

    def sampled(self):
        args = self.args
        return get_samples(
            self.model, "This is", args.batch_size, args.gen_len, args.temperature, args.top_k, args.prepend_bos
        )


@hidden_mistake(refused_with="each whole text, prompt included, has its own reward")
class RewardsCompletions(_Parts):
    """The reward function gets the texts without their prompt."""

    def rewarded(self, samples):
        return super().rewarded([text.split(self.args.prefix, 1)[-1] for text in samples])


@hidden_mistake(refused_with="each whole text, prompt included, has its own reward")
class RewardsOthers(_Parts):
    """The reward function gets the texts in another order."""

    def rewarded(self, samples):
        return super().rewarded(samples[::-1])


@hidden_mistake(refused_with="The policy's likely tokens are sampled too often")
class Greedy(_Parts):
    """The likeliest token is taken each time."""

    def sampled(self):
        args = self.args
        return get_samples(self.model, args.prefix, args.batch_size, args.gen_len, 0.0, args.top_k, args.prepend_bos)


@hidden_mistake(refused_with="CourseError")
class NoBeginning(_Parts):
    """The texts never start with the beginning-of-sequence token."""

    def sampled(self):
        args = self.args
        return get_samples(self.model, args.prefix, args.batch_size, args.gen_len, args.temperature, args.top_k, False)


@hidden_mistake(refused_with="they are the value head's, at every position")
class ValuesOfOtherTexts(_Parts):
    """The values are computed from the texts in another order."""

    def remembered(self, sample_ids, rewards):
        memory = super().remembered(sample_ids, rewards)
        memory.values = memory.values.flip(0)
        return memory


@hidden_mistake(refused_with="it is the value of the next state minus that of the state")
class OldAdvantages(_Parts):
    """Every advantage is the reward minus the value."""

    def remembered(self, sample_ids, rewards):
        memory = super().remembered(sample_ids, rewards)
        gen = self.args.gen_len
        memory.advantages = rewards[:, None] - memory.values[:, -gen - 1 : -1]
        return memory


@hidden_mistake(refused_with="the objective is computed of every minibatch of the memory, in order")
class OnePassOnly(_Parts):
    """Only the first pass over the rollout is used."""

    def used(self, memory):
        return super().used(memory)[: self.args.num_minibatches]


@hidden_mistake
class EachPartClipped(_Parts):
    """The norms of the transformer's and of the head's gradient are clipped separately."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        for group in self.optimizer.param_groups:
            nn.utils.clip_grad_norm_(group["params"], self.args.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return objective.item()


@hidden_mistake
class EntriesClipped(_Parts):
    """Each entry of the gradient is clipped, not its norm."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        nn.utils.clip_grad_value_(self.model.parameters(), self.args.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return objective.item()


@hidden_mistake
class ClippedAfterwards(_Parts):
    """The gradient is clipped after the step."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        self.optimizer.step()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        self.step += 1
        return objective.item()


@hidden_mistake
class FixedNorm(_Parts):
    """The norm is clipped to 1, whatever the settings say."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return objective.item()


@hidden_mistake
class StepsTwice(_Parts):
    """The optimizer steps twice on each minibatch."""

    def step_on(self, minibatch):
        objective = super().step_on(minibatch)
        self.optimizer.step()
        return objective


@hidden_mistake
class HeadOnly(_Parts):
    """The transformer's gradients are dropped before the step."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        for parameter in self.model.get_base_model_trainable_params():
            parameter.grad = None
        self.optimizer.step()
        self.step += 1
        return objective.item()


# Mistakes that show only over time, or under other settings than the defaults.


@hidden_mistake(refused_with="A second rollout sampled the same texts as the first one")
class SeedsEachRollout(_Parts):
    """Each rollout starts with the settings' seed, so that it samples the same texts while the policy is the same."""

    def sampled(self):
        torch.manual_seed(self.args.seed)
        return super().sampled()


@hidden_mistake(refused_with="learning_phase seeds torch")
class SeedsLearning(_Parts):
    """Each learning phase starts with the settings' seed, and so does the rollout after it."""

    def learning_phase(self, memory):
        torch.manual_seed(self.args.seed)
        return super().learning_phase(memory)


@hidden_mistake(refused_with="compute_rlhf_objective seeds torch")
class SeedsTheObjective(_Parts):
    """Each objective starts with the settings' seed, and so does the rollout after it."""

    def compute_rlhf_objective(self, minibatch):
        torch.manual_seed(self.args.seed)
        return super().compute_rlhf_objective(minibatch)


@hidden_mistake(refused_with="What the memory of a second rollout holds as ref_logits")
class ReferenceOnce(_Parts):
    """The reference's logits are computed in the first rollout and kept for the others."""

    def remembered(self, sample_ids, rewards):
        memory = super().remembered(sample_ids, rewards)
        self.kept = getattr(self, "kept", memory.ref_logits)
        memory._ref_logits = self.kept
        return memory


@hidden_mistake(refused_with="The objective in a first or a later phase")
class PenaltyFades(_Parts):
    """The KL penalty fades with the phases."""

    def compute_rlhf_objective(self, minibatch):
        terms = self.terms(minibatch)
        weight = 1 - max(0, self.phase - 2) / self.args.total_phases
        return terms["surrogate"] - terms["value_loss"] + terms["bonus"] - weight * terms["penalty"]


@hidden_mistake(refused_with="The objective in a first or a later phase")
class ClipShrinksWithTheRate(_Parts):
    """The ratio's clip shrinks with the learning rate."""

    def terms(self, minibatch):
        own, group = self.args, self.optimizer.param_groups[0]
        self.args = replace(own, clip_coef=own.clip_coef * group["lr"] / group["initial_lr"])
        terms = super().terms(minibatch)
        self.args = own
        return terms


@hidden_mistake(refused_with="The objective changed its minibatch's `returns`")
class ReturnsChanged(_Parts):
    """The minibatch's returns are overwritten after use."""

    def compute_rlhf_objective(self, minibatch):
        objective = super().compute_rlhf_objective(minibatch)
        minibatch.returns.clamp_(-1, 1)
        return objective


@hidden_mistake(refused_with="at temperature 1 over all tokens")
class LogprobsOfTheSampler(_Parts):
    """The logits are divided by the temperature before the log-probabilities are taken."""

    def remembered(self, sample_ids, rewards):
        memory = super().remembered(sample_ids, rewards)
        logits, _ = self.model.forward_with_value_head(sample_ids)
        memory.logprobs = part1_rlhf.get_logprobs(logits / self.args.temperature, sample_ids, self.prefix_len)
        return memory


@hidden_mistake(refused_with="at temperature 1 over all tokens")
class LogprobsAmongTopK(_Parts):
    """The log-probabilities are those among the top_k tokens."""

    def remembered(self, sample_ids, rewards):
        memory = super().remembered(sample_ids, rewards)
        logits, _ = self.model.forward_with_value_head(sample_ids)
        least = logits.topk(min(self.args.top_k, logits.shape[-1])).values[..., -1:]
        among = logits.masked_fill(logits < least, float("-inf"))
        memory.logprobs = part1_rlhf.get_logprobs(among, sample_ids, self.prefix_len)
        return memory


@hidden_mistake(refused_with="it is recorded as it came, before it is normalised")
class RecordsNormalised(_Parts):
    """The reward function is replaced by one that normalises, so that the normalised reward is recorded."""

    def rewarded(self, samples):
        own = self.args.reward_fn
        if self.args.normalize_reward:
            self.args.reward_fn = lambda texts: part1_rlhf.normalize_reward(own(texts))
        rewards = self.reward(samples)
        self.args.reward_fn = own
        return rewards


@hidden_mistake(refused_with="still holds the graph of the objectives")
class ReturnsAGraph(_Parts):
    """The mean objective is returned with its graph."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return objective


@hidden_mistake(refused_with="The gradient of the objective at the transformer")
class GradientOfLogprobTimesAdvantage(_Parts):
    """The surrogate's gradient is that of log-probability times advantage, as if the ratio were 1."""

    def terms(self, minibatch):
        terms = super().terms(minibatch)
        logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        advantages = (minibatch.advantages - minibatch.advantages.mean()) / (minibatch.advantages.std() + 1e-8)
        slope = (logprobs * advantages).mean()
        return {**terms, "surrogate": terms["surrogate"].detach() + slope - slope.detach()}


@hidden_mistake(refused_with="The objective of a minibatch of other sizes")
class ThreeTokensOfPrompt(_Parts):
    """Logits and values are sliced as if each prompt had three tokens."""

    def terms(self, minibatch):
        args, gen = self.args, self.args.gen_len
        logits, values = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        logits, values, ref_logits = (
            torch.nn.functional.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, gen + 2))[:, 2 : 2 + gen]
            for tensor in (logits, values, minibatch.ref_logits)
        )
        return {
            "surrogate": calc_clipped_surrogate_objective(
                logprobs, minibatch.logprobs, minibatch.advantages, args.clip_coef, gen
            ),
            "value_loss": calc_value_function_loss(values, minibatch.returns, args.vf_coef, gen),
            "bonus": part1_rlhf.calc_entropy_bonus(logits, args.ent_coef, gen),
            "penalty": part1_rlhf.calc_kl_penalty(logits, ref_logits, args.kl_coef, gen),
        }


@hidden_mistake(refused_with="The objective of a minibatch of other sizes")
class ZeroMeansDefault(_Parts):
    """A coefficient of 0 is taken for one that was not given."""

    def terms(self, minibatch):
        own = self.args
        self.args = replace(own, vf_coef=own.vf_coef or 0.15, ent_coef=own.ent_coef or 0.1, kl_coef=own.kl_coef or 2.5)
        terms = super().terms(minibatch)
        self.args = own
        return terms


@hidden_mistake(refused_with="With a small max_grad_norm, the way of")
class AlwaysScaledToTheNorm(_Parts):
    """Gradients below max_grad_norm are scaled up to it when they are not far below."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        norm, limit = float(torch.stack([gradient.norm() for gradient in gradients]).norm()), self.args.max_grad_norm
        for gradient in gradients:
            gradient *= limit / norm if norm > limit / 100 else 1.0
        self.optimizer.step()
        self.step += 1
        return objective.item()


@hidden_mistake(refused_with="the scheduler is stepped once, at its end")
class ScheduleEveryStepOfTheFirstPhase(_Parts):
    """The scheduler is stepped twice after the first phase, to skip the phase in which nothing moves."""

    def learning_phase(self, memory):
        result = super().learning_phase(memory)
        if self.step == len(memory.get_minibatches()):
            self.scheduler.step()
        return result


@hidden_mistake(refused_with="the way of")
class FreezesItsRollout(_Parts):
    """The rollout freezes the transformer and does not thaw it."""

    def rollout_phase(self):
        for parameter in self.model.get_base_model_trainable_params()[:1]:
            parameter.requires_grad_(False)
        return super().rollout_phase()


@hidden_mistake(refused_with="With normalize_reward=False, the reward in the last advantages")
class RewardsWithoutSpecialTokens(_Parts):
    """The reward function gets the texts without their special tokens."""

    def rewarded(self, samples):
        return super().rewarded([text.replace("<|endoftext|>", "") for text in samples])


@hidden_mistake(refused_with="What learning_phase returns")
class MeanOfRunningMeans(_Parts):
    """The mean is a running one that weights the last minibatch most."""

    def learning_phase(self, memory):
        mean = None
        for minibatch in memory.get_minibatches():
            objective = self.step_on(minibatch)
            mean = objective if mean is None else (mean + objective) / 2
        self.scheduler.step()
        return mean


@hidden_mistake(refused_with="learning_phase changes a setting of torch for all later code, its detection of anomalies")
class DetectsAnomalies(_Parts):
    """Learning switches the detection of anomalies on, which slows all later code down."""

    def learning_phase(self, memory):
        torch.autograd.set_detect_anomaly(True)
        return super().learning_phase(memory)


@hidden_mistake(refused_with="rollout_phase changes a setting of torch for all later code, the precision of its")
class SamplesInLowPrecision(_Parts):
    """The rollout lets torch multiply matrices in less than single precision, also after it."""

    def rollout_phase(self):
        memory = super().rollout_phase()
        torch.set_float32_matmul_precision("medium")
        return memory


@hidden_mistake(refused_with="rollout_phase switches gradients off for all later code")
class GradientsSwitchedOff(_Parts):
    """The rollout switches gradients off, and not on again."""

    def rollout_phase(self):
        torch.set_grad_enabled(False)
        return super().rollout_phase()


@hidden_mistake(refused_with="rollout_phase changes the settings (self.args)")
class SettingsChanged(_Parts):
    """The rollout changes a setting, so that the run's record names another one."""

    def rollout_phase(self):
        self.args.total_phases += 1
        return super().rollout_phase()


@hidden_mistake(refused_with="The learning rate of the optimizer after a phase")
class RateSetLate(_Parts):
    """The rate is set when learning begins, after it was logged, so that the log is one phase behind."""

    def learning_phase(self, memory):
        if self.phase:
            self.scheduler.step()
        objectives = [self.step_on(minibatch) for minibatch in self.used(memory)]
        return sum(objectives) / len(objectives)


@hidden_mistake(refused_with="learning_phase should learn from the memory that is passed to it")
class LearnsFromItsOwnRollout(_Parts):
    """Learning reads the memory of the latest rollout, whichever memory it gets."""

    latest = None

    def rollout_phase(self):
        self.latest = super().rollout_phase()
        return self.latest

    def used(self, memory):
        return super().used(memory if self.latest is None else self.latest)


@hidden_mistake(refused_with="take torch.no_grad() in place of torch.inference_mode()")
class RolloutInInferenceMode(_Parts):
    """The rollout runs in inference mode, whose tensors no backward pass can use."""

    @torch.inference_mode()
    def rollout_phase(self):
        return super().rollout_phase()


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


@right_answer
class ImportsAtTheTop(_Whole):
    """Functions imported by name, slices by prefix, with a log of the terms, zero_grad last."""


@right_answer
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


@right_answer
class NormalisesInPlace(_Parts):
    """The reward is normalised in place, which leaves the recorded one as it was."""

    def rewarded(self, samples):
        rewards = self.reward(samples)
        if self.args.normalize_reward:
            rewards -= rewards.mean()
            rewards /= rewards.std() + 1e-5
        return rewards


@right_answer
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


@right_answer
class PenaltyFirst(_Whole):
    """The terms in another order, from slices made first."""

    def compute_rlhf_objective(self, minibatch):
        args, gen = self.args, self.args.gen_len
        ids = minibatch.sample_ids
        all_logits, all_values = self.model.forward_with_value_head(ids)
        whole_sequences = (all_logits, all_values, minibatch.ref_logits)
        logits, values, ref = (tensor[:, :-1][:, -gen:] for tensor in whole_sequences)
        objective = -part1_rlhf.calc_kl_penalty(logits, ref, args.kl_coef, gen)
        objective = objective + part1_rlhf.calc_entropy_bonus(logits, args.ent_coef, gen)
        objective = objective - calc_value_function_loss(values, minibatch.returns, args.vf_coef, gen)
        logprobs = logits.log_softmax(-1).gather(-1, ids[:, -gen:, None])[..., 0]
        return objective + calc_clipped_surrogate_objective(
            logprobs, minibatch.logprobs, minibatch.advantages, args.clip_coef, gen
        )


@right_answer
class SettingsKept(_Whole):
    """The settings are stored when the trainer is made; gradients are clipped by hand."""

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
            gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
            norm = torch.stack([gradient.norm() for gradient in gradients]).norm()
            for gradient in gradients:
                gradient *= min(1.0, self.max_norm / float(norm))
            self.optimizer.step()
            self.step += 1
            returned.append(float(objective))
        self.scheduler.step()
        return torch.tensor(returned).mean().item()


@right_answer
class NothingButNoGrad(_Whole):
    """The rollout detaches the tensors in place of a decorator; the memory is filled by position."""

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
        logits, values = (tensor.detach() for tensor in self.model.forward_with_value_head(ids))
        reward = self.args.reward_fn(texts)
        if args.normalize_reward:
            reward = normalize_reward(reward.clone())
        ref_logits = self.ref_model(ids).detach()
        logprobs = logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0][:, -args.gen_len :]
        return ReplayMemory(
            args, ids, logprobs, compute_advantages(values, reward, self.prefix_len), values, ref_logits
        )


@right_answer
class StepsWithAClosure(_Parts):
    """The optimizer calls a function that computes objective and gradients."""

    def step_on(self, minibatch):
        def closure():
            self.optimizer.zero_grad()
            objective = self.compute_rlhf_objective(minibatch)
            objective.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
            return objective

        objective = self.optimizer.step(closure)
        self.step += 1
        return objective.item()


@right_answer
class GradientsAssigned(_Parts):
    """Gradients come from `torch.autograd.grad`, and are assigned by hand."""

    def step_on(self, minibatch):
        objective = self.compute_rlhf_objective(minibatch)
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        gradients = torch.autograd.grad(objective, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(parameters, self.args.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return float(objective)


def _announced(method):
    @wraps(method)
    def wrapper(self, *args, **kwargs):
        print(f"{method.__name__} begins")
        result = method(self, *args, **kwargs)
        print(f"{method.__name__} ends: {type(result).__name__}")
        return result

    return wrapper


@right_answer
class Decorated(_Whole):
    """Each method is wrapped by a decorator of the learner's own, which prints."""

    compute_rlhf_objective = _announced(_Whole.compute_rlhf_objective)
    rollout_phase = _announced(_Whole.rollout_phase)
    learning_phase = _announced(_Whole.learning_phase)


@right_answer
class MinibatchesByIndex(_Parts):
    """The minibatches are counted and read by index; the model's own `zero_grad` clears the gradients."""

    def learning_phase(self, memory):
        minibatches = memory.get_minibatches()
        total = 0.0
        for number in range(len(minibatches)):
            self.model.zero_grad()
            objective = self.compute_rlhf_objective(minibatches[number])
            objective.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
            self.optimizer.step()
            self.step += 1
            total += objective.item() / len(minibatches)
        self.scheduler.step()
        return total
