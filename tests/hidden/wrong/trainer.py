"""Wrong answers to `RLHFTrainer`."""

import part1_rlhf
import torch
from torch import nn

from rlhf_course import ReplayMemory, Trainer, calc_clipped_surrogate_objective, calc_value_function_loss, get_samples


class _Parts(Trainer):
    """A right answer in small pieces."""

    def terms(self, minibatch):
        args, gen = self.args, self.args.gen_len
        logits, values = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        logits, values, ref_logits = (one[:, -gen - 1 : -1] for one in (logits, values, minibatch.ref_logits))
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


class RewardAdded(_Parts):
    """The mean return is added to the objective; the reward acts through the advantages."""

    def compute_rlhf_objective(self, minibatch):
        return super().compute_rlhf_objective(minibatch) + minibatch.returns.mean()


class PenaltyWithoutGradient(_Parts):
    """The KL penalty passes no gradient on, so that it cannot hold the policy back."""

    def compute_rlhf_objective(self, minibatch):
        terms = self.terms(minibatch)
        return terms["surrogate"] - terms["value_loss"] + terms["bonus"] - terms["penalty"].detach()


class PenaltyWithSwappedArguments(_Parts):
    """The penalty is called with the reference first."""

    def terms(self, minibatch):
        gen = self.args.gen_len
        logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
        logits, ref_logits = (one[:, -gen - 1 : -1] for one in (logits, minibatch.ref_logits))
        return {
            **super().terms(minibatch),
            "penalty": part1_rlhf.calc_kl_penalty(ref_logits, logits, self.args.kl_coef, gen),
        }


class DefaultCoefficients(_Parts):
    """The coefficients are the settings' defaults, whatever the settings are."""

    def terms(self, minibatch):
        scales = {
            "value_loss": 0.15 / self.args.vf_coef,
            "bonus": 0.001 / self.args.ent_coef,
            "penalty": 2.5 / self.args.kl_coef,
        }
        return {name: scales.get(name, 1.0) * term for name, term in super().terms(minibatch).items()}


class FixedClip(_Parts):
    """The ratio is clipped at 0.2, whatever the settings say."""

    def terms(self, minibatch):
        logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        surrogate = calc_clipped_surrogate_objective(
            logprobs, minibatch.logprobs, minibatch.advantages, 0.2, self.args.gen_len
        )
        return {**super().terms(minibatch), "surrogate": surrogate}


class RatioOfItself(_Parts):
    """The ratio is that of the new policy to itself, which is always 1."""

    def terms(self, minibatch):
        logits, _ = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        surrogate = calc_clipped_surrogate_objective(
            logprobs, logprobs.detach(), minibatch.advantages, self.args.clip_coef, self.args.gen_len
        )
        return {**super().terms(minibatch), "surrogate": surrogate}


class ValuesDetached(_Parts):
    """The value loss passes no gradient on, so that the head never learns."""

    def terms(self, minibatch):
        terms = super().terms(minibatch)
        return {**terms, "value_loss": terms["value_loss"].detach()}


class FixedPrompt(_Parts):
    """The texts start with "This is", whatever the settings say."""

    def sampled(self):
        args = self.args
        return get_samples(
            self.model, "This is", args.batch_size, args.gen_len, args.temperature, args.top_k, args.prepend_bos
        )


class RewardsCompletions(_Parts):
    """The reward sees the texts without their prompt."""

    def rewarded(self, samples):
        return super().rewarded([text.split(self.args.prefix, 1)[-1] for text in samples])


class RewardsOthers(_Parts):
    """The reward is asked of the texts in another order."""

    def rewarded(self, samples):
        return super().rewarded(samples[::-1])


class NormalisesInPlace(_Parts):
    """The reward function's own tensor is normalised."""

    def rewarded(self, samples):
        rewards = self.args.reward_fn(samples)
        if self.args.normalize_reward:
            rewards -= rewards.mean()
            rewards /= rewards.std() + 1e-5
        return rewards


class Greedy(_Parts):
    """The likeliest token is taken each time."""

    def sampled(self):
        args = self.args
        return get_samples(self.model, args.prefix, args.batch_size, args.gen_len, 0.0, args.top_k, args.prepend_bos)


class NoBeginning(_Parts):
    """The texts never start with the beginning-of-sequence token."""

    def sampled(self):
        args = self.args
        return get_samples(self.model, args.prefix, args.batch_size, args.gen_len, args.temperature, args.top_k, False)


class ValuesOfOtherTexts(_Parts):
    """The values are computed from the texts in another order."""

    def remembered(self, sample_ids, rewards):
        memory = super().remembered(sample_ids, rewards)
        memory.values = memory.values.flip(0)
        return memory


class OldAdvantages(_Parts):
    """The advantages are all the whole reward minus the value."""

    def remembered(self, sample_ids, rewards):
        memory = super().remembered(sample_ids, rewards)
        gen = self.args.gen_len
        memory.advantages = rewards[:, None] - memory.values[:, -gen - 1 : -1]
        return memory


class OnePassOnly(_Parts):
    """Only the first pass over the rollout is learnt from."""

    def used(self, memory):
        return super().used(memory)[: self.args.num_minibatches]


class EachPartClipped(_Parts):
    """The norms of the transformer's gradient and of the head's are clipped each by itself."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        objective.backward()
        for group in self.optimizer.param_groups:
            nn.utils.clip_grad_norm_(group["params"], self.args.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return objective.item()


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


class Descends(_Parts):
    """Backward runs on minus the objective, though the optimizer maximises."""

    def step_on(self, minibatch):
        self.optimizer.zero_grad()
        objective = self.compute_rlhf_objective(minibatch)
        (-objective).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
        self.optimizer.step()
        self.step += 1
        return objective.item()


class StepsTwice(_Parts):
    """The optimizer steps twice on each minibatch."""

    def step_on(self, minibatch):
        objective = super().step_on(minibatch)
        self.optimizer.step()
        return objective


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
