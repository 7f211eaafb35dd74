"""Wrong and right answers to `GRPOTrainer`."""

from dataclasses import replace

import part3_policy_gradients as part3
import torch
from part3_policy_gradients import completion_mask

from rlhf_course import GroupTrainer, GRPOBatch, generate_completions
from rlhf_course.bank import hidden_mistake, right_answer, visible_mistake


class _Right(GroupTrainer):
    """A right answer, whose parts the wrong ones override."""

    def repeated(self, prompts):
        return [prompt for prompt in prompts for _ in range(self.args.group_size)]

    def mask_of(self, sampled):
        return completion_mask(sampled.completion_ids, self.eos_token_id)

    def attention_of(self, sampled, mask):
        return torch.cat((sampled.prompt_mask, mask), 1)

    def rewards_of(self, prompts, sampled):
        return self.verify(prompts, sampled.texts)

    def advantages_of(self, rewards):
        size = self.args.group_size
        if self.args.baseline == "leave_one_out":
            return part3.rloo_advantages(rewards, size)
        return part3.group_advantages(rewards, size, scale_by_std=self.args.scale_by_std)

    def spread(self, advantages, mask):
        return advantages.unsqueeze(1).repeat(1, mask.shape[1])

    def logits(self, input_ids, attention_mask):
        return self.model(input_ids, attention_mask=attention_mask)

    def logprobs_of(self, input_ids, attention_mask, length):
        logprobs = self.logits(input_ids, attention_mask).log_softmax(-1)[:, :-1]
        return logprobs.gather(2, input_ids[:, 1:].unsqueeze(2)).squeeze(2)[:, -length:]

    def old_logprobs_of(self, input_ids, attention_mask, mask):
        return self.logprobs_of(input_ids, attention_mask, mask.shape[1])

    @torch.no_grad()
    def rollout(self, prompts):
        return self.collect(self.repeated(prompts))

    def collect(self, repeated):
        return self.remember(repeated, self.sample(repeated))

    def remember(self, repeated, sampled):
        mask, own = self.mask_of(sampled), completion_mask(sampled.completion_ids, self.eos_token_id)
        rewards = self.rewards_of(repeated, sampled)
        ids = torch.cat((sampled.prompt_ids, sampled.completion_ids), 1)
        attention = self.attention_of(sampled, own)
        old = self.old_logprobs_of(ids, attention, own)
        return GRPOBatch(ids, attention, mask, old, rewards, self.spread(self.advantages_of(rewards), mask))

    def bounds(self):
        return self.args.clip_low, self.args.clip_high

    def weighting(self):
        return self.args.aggregation

    def longest(self, batch):
        return self.args.max_new_tokens if self.args.aggregation == "constant" else None

    def token_loss(self, batch):
        length = batch.completion_mask.shape[1]
        new = self.logprobs_of(batch.input_ids, batch.attention_mask, length)
        return part3.grpo_clip_loss(new, self.old(batch, new), batch.advantages, *self.bounds())

    def old(self, batch, new):
        return batch.old_logprobs

    def loss(self, batch):
        return part3.aggregate_loss(
            self.token_loss(batch), batch.completion_mask, self.weighting(), self.longest(batch)
        )


@visible_mistake(refused_with="repeat each prompt, not the whole list")
class GroupsInterleaved(_Right):
    """The groups are interleaved (prompts * group_size): repeat each prompt group_size times, one after the other."""

    def repeated(self, prompts):
        return list(prompts) * self.args.group_size


@visible_mistake(refused_with="should have args.group_size completions of each prompt")
class OneEach(_Right):
    """Each prompt is sampled once: repeat it group_size times, so that its completions can be compared."""

    def repeated(self, prompts):
        return list(prompts)

    def advantages_of(self, rewards):
        return rewards - rewards.mean()


class _JoinedAsItIs(_Right):
    """The attention mask holds the completion mask, whatever that is."""

    def attention_of(self, sampled, mask):
        return super().attention_of(sampled, self.mask_of(sampled))


# The end-of-text token that is masked out with the padding: https://github.com/huggingface/trl/issues/3750
@visible_mistake(refused_with="completion_mask is False, and should be True")
class EndMaskedOut(_JoinedAsItIs):
    """Your mask is False at the end-of-text token, so a policy never learns when to stop: call completion_mask."""

    def mask_of(self, sampled):
        return sampled.completion_ids != self.eos_token_id


@visible_mistake(refused_with="completion_mask is False, and should be True")
class EndMaskedOutOfTheLoss(_Right):
    """The end-of-text token is masked out, so a policy never learns when to stop: it belongs to the completion."""

    def mask_of(self, sampled):
        return sampled.completion_ids != self.eos_token_id


@visible_mistake(refused_with="completion_mask is True, and should be False")
class NothingMaskedOut(_JoinedAsItIs):
    """Your completion mask is True everywhere; what follows a completion's end is padding: call completion_mask."""

    def mask_of(self, sampled):
        return torch.ones_like(sampled.completion_ids, dtype=torch.bool)


@visible_mistake(refused_with="completion_mask is True, and should be False")
class NothingMaskedOutOfTheLoss(_Right):
    """The completion mask is True everywhere: what follows a completion's end is padding."""

    def mask_of(self, sampled):
        return torch.ones_like(sampled.completion_ids, dtype=torch.bool)


@visible_mistake(refused_with="group_advantages of the rewards")
class WholeBatchStatistics(_Right):
    """The advantages compare a completion with the whole batch; compare it with the completions of its own prompt."""

    def advantages_of(self, rewards):
        return part3.group_advantages(rewards, len(rewards), scale_by_std=self.args.scale_by_std)


@visible_mistake(refused_with="attention_mask is True, and should be False")
class PaddingAttended(_Right):
    """The attention mask is True everywhere, so the tokens of short prompts attend to padding: join both masks."""

    def attention_of(self, sampled, mask):
        return torch.ones(len(mask), sampled.prompt_ids.shape[1] + mask.shape[1], dtype=torch.bool)


@visible_mistake(refused_with="old_logprobs")
class NoAttentionMask(_Right):
    """The model is called without an attention mask, so the tokens of short prompts attend to padding."""

    def logits(self, input_ids, attention_mask):
        return self.model(input_ids)


# A ratio that is always 1, since both terms are the policy's as it is now: https://github.com/huggingface/trl/issues/2703
@visible_mistake(refused_with="the old log-probabilities are computed anew")
class OldComputedAnew(_Right):
    """The loss computes the old log-probabilities anew, so the ratio is always 1: take those of the batch."""

    def old(self, batch, new):
        return new.detach()


@visible_mistake(refused_with="old_logprobs")
class LogitsNotShifted(_Right):
    """You take the logits at a token's own position; those one position earlier predict it: [:, -gen-1:-1]."""

    def logprobs_of(self, input_ids, attention_mask, length):
        logprobs = self.logits(input_ids, attention_mask).log_softmax(-1)[:, -length:]
        return logprobs.gather(2, input_ids[:, -length:].unsqueeze(2)).squeeze(2)


@visible_mistake
class LogitsForLogprobs(_Right):
    """You take logits; the ratio needs log-probabilities, which are normalised over the vocabulary (log_softmax)."""

    def logprobs_of(self, input_ids, attention_mask, length):
        logits = self.logits(input_ids, attention_mask)[:, :-1]
        return logits.gather(2, input_ids[:, 1:].unsqueeze(2)).squeeze(2)[:, -length:]


@visible_mistake(refused_with="ValueError")
class LengthForEveryKind(_Right):
    """`aggregate_loss` gets max_length for every aggregation; it takes one for "constant" alone."""

    def longest(self, batch):
        return self.args.max_new_tokens


@visible_mistake(refused_with="the batch's width stands for args.max_new_tokens")
class WidthForLength(_Right):
    """For "constant", the sum is divided by the batch's width, which varies; take args.max_new_tokens."""

    def longest(self, batch):
        return batch.completion_mask.shape[1] if self.args.aggregation == "constant" else None


@visible_mistake(refused_with="CourseError")
class AdvantagesNotExpanded(_Right):
    """The advantages have one number a text; the batch holds one for each token, [batch, gen]."""

    def spread(self, advantages, mask):
        return advantages


@visible_mistake(refused_with="has the wrong sign")
class ObjectiveForLoss(_Right):
    """The loss has the sign of an objective: grpo_clip_loss is minimised as it is, so put no minus before it."""

    def loss(self, batch):
        return -super().loss(batch)


@visible_mistake(refused_with="it looks as if nothing is clipped")
class NothingClipped(_Right):
    """You do not clip the ratio: take grpo_clip_loss, with args.clip_low and args.clip_high."""

    def bounds(self):
        return 1.0, 1e6


@visible_mistake(refused_with="args.clip_low is used for both bounds")
class LowForBoth(_Right):
    """clip_low is used for both bounds; the upper one is clip_high."""

    def bounds(self):
        return self.args.clip_low, self.args.clip_low


@visible_mistake(refused_with="the two bounds are swapped")
class BoundsSwapped(_Right):
    """The two bounds are swapped: first clip_low, then clip_high."""

    def bounds(self):
        return self.args.clip_high, self.args.clip_low


@visible_mistake(refused_with="what self.verify gives for each prompt")
class PromptWithTheText(_Right):
    """The verifier gets prompt and completion as its second argument; it takes them apart."""

    def rewards_of(self, prompts, sampled):
        return self.verify(prompts, [prompt + text for prompt, text in zip(prompts, sampled.texts, strict=True)])


@visible_mistake(refused_with="what self.verify gives for each prompt")
class TextsBeforePrompts(_Right):
    """The verifier gets the completions first; it takes the prompts first."""

    def rewards_of(self, prompts, sampled):
        return self.verify(sampled.texts, prompts)


@visible_mistake(refused_with="rloo_advantages")
class AlwaysTheGroup(_Right):
    """The baseline is the group's mean although args.baseline is "leave_one_out"."""

    def advantages_of(self, rewards):
        return part3.group_advantages(rewards, self.args.group_size, scale_by_std=self.args.scale_by_std)


# Whether to divide by the deviation: https://github.com/thinking-machines-lab/tinker-cookbook/issues/579
@visible_mistake(refused_with="nothing is divided by the deviation")
class AlwaysDivided(_Right):
    """The advantages are divided by the group's deviation although args.scale_by_std is False."""

    def advantages_of(self, rewards):
        if self.args.baseline != "group":
            return super().advantages_of(rewards)
        return part3.group_advantages(rewards, self.args.group_size)


@visible_mistake(refused_with="group_advantages of the rewards")
class ScaleForEps(_Right):
    """args.scale_by_std is passed in the place of eps, the third argument of group_advantages: pass it by its name."""

    def advantages_of(self, rewards):
        if self.args.baseline != "group":
            return super().advantages_of(rewards)
        return part3.group_advantages(rewards, self.args.group_size, self.args.scale_by_std)


# The three ways to weigh tokens: https://github.com/sail-sg/understand-r1-zero/issues/11
@visible_mistake(refused_with='it is aggregated as for "sequence_mean"')
class OneAggregation(_Right):
    """The losses are averaged as for "sequence_mean" whatever args.aggregation is."""

    def weighting(self):
        return "sequence_mean"

    def longest(self, batch):
        return None


@visible_mistake(refused_with="it is the sum of the tokens' losses")
class SumForMean(_Right):
    """You sum the losses of all tokens; aggregate_loss gives them the weights that the settings ask for."""

    def loss(self, batch):
        return self.token_loss(batch)[batch.completion_mask].sum()


# A mean whose denominator counts padding: https://github.com/huggingface/trl/pull/3187
@visible_mistake
class MeanOverPadding(_Right):
    """The mean counts padding too: aggregate_loss takes the completion mask."""

    def loss(self, batch):
        return self.token_loss(batch).mean()


@visible_mistake(refused_with="CourseError")
class RolloutWithGradient(_Right):
    """The rollout runs with gradients: what a batch holds should carry none (torch.no_grad)."""

    def rollout(self, prompts):
        with torch.enable_grad():
            return self.collect(self.repeated(prompts))


@visible_mistake(refused_with="No gradient of the loss reaches all of the policy")
class LossWithoutGradient(_Right):
    """The loss carries no gradient, so nothing can be learnt: compute it without torch.no_grad."""

    @torch.no_grad()
    def loss(self, batch):
        return super().loss(batch)


@visible_mistake(refused_with="group_advantages of the rewards")
class RewardsForAdvantages(_Right):
    """The advantages are the bare rewards; subtract the baseline (group_advantages or rloo_advantages)."""

    def advantages_of(self, rewards):
        return rewards


@visible_mistake
class OldBeforeNew(_Right):
    """grpo_clip_loss gets the old log-probabilities first; its first argument is those of the policy as it is now."""

    def token_loss(self, batch):
        new = self.logprobs_of(batch.input_ids, batch.attention_mask, batch.completion_mask.shape[1])
        return part3.grpo_clip_loss(batch.old_logprobs, new, batch.advantages, *self.bounds())


@visible_mistake(refused_with="should return a GRPOBatch")
class ReturnsTuple(_Right):
    """`rollout` returns a tuple; return a GRPOBatch."""

    def remember(self, repeated, sampled):
        batch = super().remember(repeated, sampled)
        return batch.input_ids, batch.attention_mask, batch.completion_mask, batch.old_logprobs, batch.advantages


@visible_mistake(refused_with="nothing (None) came")
class LossReturnsNothing(_Right):
    """`loss` returns nothing; return the aggregated loss."""

    def loss(self, batch):
        super().loss(batch)


@visible_mistake
class RewardsForTheLoss(_Right):
    """The loss uses the rewards of the batch; its advantages say how much better than its group a completion is."""

    def token_loss(self, batch):
        return super().token_loss(replace(batch, advantages=self.spread(batch.rewards, batch.completion_mask)))


@visible_mistake
class FromTheMaskedLogits(_Right):
    """The attention mask of the loss is that of the completion alone, so the model does not see the prompt."""

    def logits(self, input_ids, attention_mask):
        if not torch.is_grad_enabled():
            return super().logits(input_ids, attention_mask)
        seen = attention_mask.clone()
        seen[:, : -self.seen] = False
        return super().logits(input_ids, seen)

    def token_loss(self, batch):
        self.seen = batch.completion_mask.shape[1] + 1
        return super().token_loss(batch)


# Hidden: sampling.


@hidden_mistake(refused_with="sampled too often")
class LowTemperature(_Right):
    """Completions are sampled at a temperature of 0.7, which makes likely tokens likelier."""

    def sample(self, prompts):
        return generate_completions(self.model, prompts, self.args.max_new_tokens, temperature=0.7)


@hidden_mistake(refused_with="sampled too seldom")
class HighTemperature(_Right):
    """Completions are sampled at a temperature of 1.5."""

    def sample(self, prompts):
        return generate_completions(self.model, prompts, self.args.max_new_tokens, temperature=1.5)


@hidden_mistake(refused_with="they should be sampled anew")
class SameRandomNumbers(_Right):
    """The generator starts anew in each rollout, so that equal prompts get equal completions for ever."""

    def sample(self, prompts):
        torch.manual_seed(self.args.seed % 2**31)
        return super().sample(prompts)


@hidden_mistake(refused_with="The rollout changes a setting of torch for all later code, its default dtype")
class ComputesInDoublePrecision(_Right):
    """The rollout makes float64 the default dtype of all later code."""

    def rollout(self, prompts):
        batch = super().rollout(prompts)
        torch.set_default_dtype(torch.float64)
        return batch


@hidden_mistake(refused_with="The rollout changes the settings (self.args)")
class SettingsChanged(_Right):
    """The rollout changes a setting, so that the run's record names another one."""

    def rollout(self, prompts):
        self.args.seed += 1
        return super().rollout(prompts)


@hidden_mistake(refused_with="take torch.no_grad() in place of torch.inference_mode()")
class RolloutInInferenceMode(_Right):
    """The rollout runs in inference mode, whose tensors no backward pass can use."""

    @torch.inference_mode()
    def rollout(self, prompts):
        return self.collect(self.repeated(prompts))


@hidden_mistake(refused_with="The loss seeds torch")
class SeedsTheLoss(_Right):
    """The generator starts anew in each loss, and so does the rollout after it."""

    def loss(self, batch):
        torch.manual_seed(self.args.seed % 2**31)
        return super().loss(batch)


class _Copied(_Right):
    def copy_of(self, sampled, keep):
        return replace(
            sampled,
            completion_ids=sampled.completion_ids[keep],
            texts=[sampled.texts[index] for index in keep.tolist()],
        )


@hidden_mistake(refused_with="The completions of a group are all the same")
class SampledOncePerPrompt(_Copied):
    """Each prompt is sampled once, and its completion is copied."""

    def collect(self, repeated):
        size = self.args.group_size
        first = torch.arange(len(repeated)) // size * size
        return self.remember(repeated, self.copy_of(self.sample(repeated), first))


@hidden_mistake(refused_with="Far more completions end")
class EndedAtOnce(_Copied):
    """Each completion is an end-of-text token alone, as if the policy had sampled it at once."""

    def collect(self, repeated):
        sampled = self.sample(repeated)
        texts = [self.model.tokenizer.eos_token] * len(repeated)
        ends = torch.full_like(sampled.completion_ids[:, :1], self.eos_token_id)
        return self.remember(repeated, replace(sampled, completion_ids=ends, texts=texts))


@hidden_mistake(refused_with="should have args.max_new_tokens tokens")
class CutAfterTheFirst(_Right):
    """Completions of one token are sampled, whatever args.max_new_tokens is."""

    def sample(self, prompts):
        return generate_completions(self.model, prompts, 1)


# Hidden: masks.


@hidden_mistake(refused_with="attention_mask is True, and should be False")
class EndsAttended(_Right):
    """What follows a completion's end is attended to."""

    def attention_of(self, sampled, mask):
        return torch.cat((sampled.prompt_mask, torch.ones_like(mask)), 1)


@hidden_mistake(refused_with="attention_mask is False, and should be True")
class BeginningNotAttended(_Right):
    """The attention mask is made from the token ids: False where they are the end-of-text token, which begins texts."""

    def attention_of(self, sampled, mask):
        return torch.cat((sampled.prompt_ids != self.eos_token_id, mask), 1)

    def old_logprobs_of(self, input_ids, attention_mask, mask):
        return super().old_logprobs_of(input_ids, self.right(input_ids, mask), mask)

    def right(self, input_ids, mask):
        before = input_ids.shape[1] - mask.shape[1]
        following = (input_ids[:, 1:before] != self.eos_token_id).int()
        real = torch.cat((following, torch.ones_like(following[:, :1])), 1).cummax(1).values.bool()
        return torch.cat((real[:, :before], mask), 1)


@hidden_mistake(refused_with="completion_mask is False, and should be True")
class LastTokenMaskedOut(_Right):
    """Where a completion is cut off, its last token is taken for the end, and masked out."""

    def mask_of(self, sampled):
        mask = super().mask_of(sampled)
        if mask.shape[1] > 1:
            mask = mask.clone()
            mask[:, -1] &= sampled.completion_ids[:, -1] == self.eos_token_id
        return mask


# Hidden: rewards.


@hidden_mistake(refused_with="as it came")
class RewardsCentred(_Right):
    """The batch's rewards are what remains after the mean was subtracted; the advantages are right."""

    def remember(self, repeated, sampled):
        batch = super().remember(repeated, sampled)
        return replace(batch, rewards=batch.rewards - batch.rewards.mean())


@hidden_mistake(refused_with="as it came")
class RewardsCut(_Right):
    """The batch's rewards are cut to the range from 0 to 1, in which those of the course's verifiers lie."""

    def remember(self, repeated, sampled):
        batch = super().remember(repeated, sampled)
        return replace(batch, rewards=batch.rewards.clamp(0, 1))


@hidden_mistake
class WithoutTheEnd(_Right):
    """The verifier gets completions without their end-of-text token."""

    def rewards_of(self, prompts, sampled):
        return self.verify(prompts, [text.removesuffix("<|endoftext|>") for text in sampled.texts])


# Hidden: log-probabilities.


@hidden_mistake(refused_with="old_logprobs")
class OldOfPaddedPrompts(_Right):
    """The old log-probabilities are computed without an attention mask; the new ones have it."""

    def old_logprobs_of(self, input_ids, attention_mask, mask):
        return self.logprobs_of(input_ids, torch.ones_like(attention_mask), mask.shape[1])


@hidden_mistake(refused_with="old_logprobs")
class OldRounded(_Right):
    """The old log-probabilities are kept in half precision."""

    def old_logprobs_of(self, input_ids, attention_mask, mask):
        return super().old_logprobs_of(input_ids, attention_mask, mask).bfloat16().float()


@hidden_mistake(refused_with="old_logprobs")
class OldOfTheFirstPolicy(_Right):
    """The old log-probabilities are those of the policy of the first rollout, as a KL penalty needs them."""

    first = None

    def old_logprobs_of(self, input_ids, attention_mask, mask):
        now = {name: weight.clone() for name, weight in torch.nn.Module.state_dict(self.model).items()}
        self.first = self.first or now
        torch.nn.Module.load_state_dict(self.model, self.first)
        found = super().old_logprobs_of(input_ids, attention_mask, mask)
        torch.nn.Module.load_state_dict(self.model, now)
        return found


# Hidden: advantages.


@hidden_mistake(refused_with="group_advantages of the rewards")
class DefaultGroupSize(_Right):
    """Groups have the default size of 8 wherever it divides the batch."""

    def advantages_of(self, rewards):
        size = 8 if len(rewards) % 8 == 0 else self.args.group_size
        if self.args.baseline == "leave_one_out":
            return part3.rloo_advantages(rewards, self.args.group_size)
        return part3.group_advantages(
            rewards, size if self.args.scale_by_std else self.args.group_size, scale_by_std=self.args.scale_by_std
        )


@hidden_mistake(refused_with="group_advantages of the rewards")
class AtTheEndAlone(_Right):
    """The advantage stands at the last token of a completion alone, and is 0 before."""

    def spread(self, advantages, mask):
        last = mask.sum(1, keepdim=True) - 1
        return torch.zeros(mask.shape).scatter(1, last, advantages[:, None])


@hidden_mistake(refused_with="rloo_advantages")
class LeaveOneOutDivided(_Right):
    """The leave-one-out advantages are divided by the group's deviation where args.scale_by_std is True."""

    def advantages_of(self, rewards):
        size = self.args.group_size
        if self.args.baseline == "group":
            return super().advantages_of(rewards)
        scale = rewards.reshape(-1, size).std(1).repeat_interleave(size) + 1
        return part3.rloo_advantages(rewards, size) / scale


# Hidden: the loss.


@hidden_mistake(refused_with="of many texts")
class FirstTextsOnly(_Right):
    """For "sequence_mean", only the first 16 texts of a batch count."""

    def loss(self, batch):
        count = 16 if self.args.aggregation == "sequence_mean" else len(batch)
        fields = {name: tensor[:count] for name, tensor in vars(batch).items()}
        return super().loss(GRPOBatch(**fields))


@hidden_mistake
class EqualGroupsLeftOut(_Right):
    """The loss leaves out texts without advantages, so that the others weigh more in its mean."""

    def loss(self, batch):
        keep = batch.advantages.abs().sum(1) > 0
        if bool(keep.all()) or not bool(keep.any()):
            return super().loss(batch)
        fields = ("input_ids", "attention_mask", "completion_mask", "old_logprobs", "rewards", "advantages")
        return super().loss(replace(batch, **{name: getattr(batch, name)[keep] for name in fields}))


@hidden_mistake(refused_with="With other bounds of the ratio")
class ZeroIsNoBound(_Right):
    """A bound of 0 counts as one that is not given."""

    def bounds(self):
        return self.args.clip_low or 0.2, self.args.clip_high or 0.2


@hidden_mistake(refused_with="With other bounds of the ratio")
class BoundsNotAbove(_Right):
    """clip_high is at most 0.6."""

    def bounds(self):
        return self.args.clip_low, min(self.args.clip_high, 0.6)


@hidden_mistake(refused_with='With args.aggregation "constant"')
class DefaultLength(_Right):
    """For "constant", the sum is divided by the default of max_new_tokens."""

    def longest(self, batch):
        return 8 if self.args.aggregation == "constant" else None


@hidden_mistake(refused_with="The gradient of the loss at the policy")
class GradientOfTheFirstToken(_Right):
    """The gradient of each completion's first token is lost."""

    def logprobs_of(self, input_ids, attention_mask, length):
        found = super().logprobs_of(input_ids, attention_mask, length)
        return torch.cat((found[:, :1].detach(), found[:, 1:]), 1)


@hidden_mistake(refused_with="The gradient of the loss at the policy")
class GradientOfTheSoftmaxLost(_Right):
    """The normalising term of the log-probabilities is detached."""

    def logprobs_of(self, input_ids, attention_mask, length):
        logits = self.logits(input_ids, attention_mask)[:, :-1]
        picked = logits.gather(2, input_ids[:, 1:].unsqueeze(2)).squeeze(2)
        return (picked - logits.logsumexp(2).detach())[:, -length:]


@hidden_mistake(refused_with="The gradient of the loss at the policy")
class GradientsOfClippedTokens(_Right):
    """A token whose ratio is outside the bounds passes a gradient on, as if it were not clipped."""

    def token_loss(self, batch):
        clipped = super().token_loss(batch)
        new = self.logprobs_of(batch.input_ids, batch.attention_mask, batch.completion_mask.shape[1])
        free = -(new - batch.old_logprobs).exp() * batch.advantages
        return clipped.detach() + free - free.detach()


@hidden_mistake(refused_with="it depends on the batch and on the policy as it is now")
class RemembersTheRollout(_Right):
    """The loss takes the old log-probabilities of the last rollout where their sizes fit."""

    last = None

    def remember(self, repeated, sampled):
        self.last = super().remember(repeated, sampled)
        return self.last

    def loss(self, batch):
        if self.last is not None:
            rows, columns = (
                min(sizes) for sizes in zip(self.last.old_logprobs.shape, batch.old_logprobs.shape, strict=True)
            )
            old = batch.old_logprobs.clone()
            old[:rows, :columns] = self.last.old_logprobs[:rows, :columns]
            batch = replace(batch, old_logprobs=old)
        return super().loss(batch)


@hidden_mistake(refused_with="it depends on the batch and on the policy as it is now")
class RemembersRolloutsOfTheSameSize(_Right):
    """The loss takes the old log-probabilities of the last rollout where the batch has the same size."""

    def remember(self, repeated, sampled):
        batch = super().remember(repeated, sampled)
        self.kept = batch.old_logprobs
        return batch

    def old(self, batch, new):
        kept = getattr(self, "kept", new)
        return kept if kept is not new and kept.shape == new.shape else super().old(batch, new)


@hidden_mistake(refused_with="After a rollout, no gradient of the loss")
class GradientsSwitchedOff(_Right):
    """The rollout switches gradients off, and not on again."""

    def rollout(self, prompts):
        torch.set_grad_enabled(False)
        return self.collect(self.repeated(prompts))


@hidden_mistake(refused_with='With args.aggregation "token_mean"')
class MeanOfParts(_Right):
    """The loss is computed in parts of at most eight texts, and their mean is taken, as if all had as many tokens."""

    def loss(self, batch):
        total = 0.0
        for start in range(0, len(batch), 8):
            part = GRPOBatch(**{name: field[start : start + 8] for name, field in vars(batch).items()})
            total = total + super().loss(part) * len(part)
        return total / len(batch)


@hidden_mistake
class FixedAfterTheFirst(_Right):
    """In later phases than the first, the loss is that of the batch before."""

    before = None

    def loss(self, batch):
        used, self.before = (batch if self.before is None or self.phase == 0 else self.before), batch
        return super().loss(used)


@hidden_mistake(refused_with="it looks as if nothing is clipped")
class LaterPhasesUnclipped(_Right):
    """After a first rollout, the ratio is not clipped any more."""

    has_rolled = False

    def collect(self, repeated):
        self.has_rolled = True
        return super().collect(repeated)

    def bounds(self):
        return (1.0, 1e6) if self.has_rolled else super().bounds()


@hidden_mistake(refused_with="The loss changed its batch's `advantages`")
class PaddingOverwritten(_Right):
    """The loss writes zeros to the batch's advantages at padding."""

    def loss(self, batch):
        batch.advantages.masked_fill_(~batch.completion_mask, 0)
        return super().loss(batch)


@hidden_mistake(refused_with="The loss changed its batch's `old_logprobs`")
class OldReplaced(_Right):
    """After the loss, the batch holds the log-probabilities of the policy as it is now."""

    def loss(self, batch):
        result = super().loss(replace(batch))
        new = self.logprobs_of(batch.input_ids, batch.attention_mask, batch.completion_mask.shape[1])
        batch.old_logprobs = new.detach()
        return result


# Right answers.


@right_answer
class Inherited(_Right):
    pass


@right_answer
class CrossEntropy(GroupTrainer):
    def rollout(self, prompts):
        with torch.no_grad():
            size = self.args.group_size
            each = [prompts[number // size] for number in range(size * len(prompts))]
            sampled = self.sample(each)
            gen = completion_mask(sampled.completion_ids, self.eos_token_id)
            scores = self.verify(each, sampled.texts)
            leave_one_out = self.args.baseline != "group"
            better = (
                part3.rloo_advantages(scores, size)
                if leave_one_out
                else part3.group_advantages(scores, size, 1e-4, self.args.scale_by_std)
            )
            whole = torch.hstack((sampled.prompt_ids, sampled.completion_ids))
            real = torch.hstack((sampled.prompt_mask, gen))
            return GRPOBatch(whole, real, gen, self.nll(whole, real, gen).neg(), scores, better[:, None] * gen)

    def nll(self, whole, real, gen):
        logits = self.model(whole, attention_mask=real).transpose(1, 2)
        losses = torch.nn.functional.cross_entropy(logits[..., :-1], whole[:, 1:], reduction="none")
        return losses[:, whole.shape[1] - gen.shape[1] - 1 :]

    def loss(self, batch):
        new = -self.nll(batch.input_ids, batch.attention_mask, batch.completion_mask)
        tokens = part3.grpo_clip_loss(
            new, batch.old_logprobs, batch.advantages, clip_low=self.args.clip_low, clip_high=self.args.clip_high
        )
        length = {"max_length": self.args.max_new_tokens} if self.args.aggregation == "constant" else {}
        return part3.aggregate_loss(tokens, batch.completion_mask, self.args.aggregation, **length)


@right_answer
class PopulationDeviation(_Right):
    def advantages_of(self, rewards):
        groups = rewards.view(-1, self.args.group_size)
        count = groups.shape[1]
        if self.args.baseline == "leave_one_out":
            return (groups - (groups.sum(1, True) - groups) / (count - 1)).flatten()
        centred = groups - groups.mean(1, True)
        scale = groups.std(1, correction=0, keepdim=True) + 1e-4 if self.args.scale_by_std else 1
        return (centred / scale).flatten()


@right_answer
class WrittenOut(_Right):
    def loss(self, batch):
        mask, args = batch.completion_mask, self.args
        new = self.logprobs_of(batch.input_ids, batch.attention_mask, mask.shape[1])
        ratio = torch.exp(torch.where(mask, new - batch.old_logprobs, 0.0))
        pair = ratio * batch.advantages, ratio.clip(1 - args.clip_low, 1 + args.clip_high) * batch.advantages
        tokens = -torch.minimum(*pair) * mask
        weights = {
            "sequence_mean": mask / mask.sum(1, keepdim=True) / len(mask),
            "token_mean": mask / mask.sum(),
            "constant": mask / (len(mask) * args.max_new_tokens),
        }
        return (tokens * weights[args.aggregation]).sum()


@right_answer
class RowByRow(_Right):
    def logprobs_of(self, input_ids, attention_mask, length):
        rows = []
        for ids, real in zip(input_ids, attention_mask, strict=True):
            own = ids[real][None]
            logprobs = self.model(own).log_softmax(-1)[0, :-1]
            picked = logprobs.gather(1, own[0, 1:, None])[:, 0]
            after = int(real[-length:].sum())
            rows.append(torch.nn.functional.pad(picked[-after:], (0, length - after)))
        return torch.stack(rows)


@right_answer
class PaddedToTheLongest(_Right):
    def remember(self, repeated, sampled):
        more = self.args.max_new_tokens - sampled.completion_ids.shape[1]
        wider = torch.nn.functional.pad(sampled.completion_ids, (0, more), value=self.eos_token_id)
        return super().remember(repeated, replace(sampled, completion_ids=wider))


@right_answer
class SplitIntoHalves(_Right):
    def logits(self, input_ids, attention_mask):
        halves = zip(input_ids.split(3), attention_mask.split(3), strict=True)
        return torch.cat([self.model(ids, attention_mask=mask) for ids, mask in halves])
