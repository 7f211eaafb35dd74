"""The loop that makes a language model better at its reward."""

import part1_rlhf
import torch
from rlhf_course import ReplayMemory, Trainer, calc_clipped_surrogate_objective, calc_value_function_loss, get_samples


class RLHFTrainer(Trainer):
    def compute_rlhf_objective(self, minibatch):
        args, g = self.args, self.args.gen_len
        logits, values = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        clipped = calc_clipped_surrogate_objective(logprobs, minibatch.logprobs, minibatch.advantages, args.clip_coef, g)
        value_loss = calc_value_function_loss(values[:, -g - 1 : -1], minibatch.returns, args.vf_coef, g)
        bonus = part1_rlhf.calc_entropy_bonus(logits[:, -g - 1 : -1], args.ent_coef, g)
        penalty = part1_rlhf.calc_kl_penalty(logits[:, -g - 1 : -1], minibatch.ref_logits[:, -g - 1 : -1], args.kl_coef, g)
        return clipped - value_loss + bonus + penalty

    @torch.no_grad()
    def rollout_phase(self):
        args = self.args
        ids, texts = get_samples(self.model, args.prefix, args.batch_size, gen_len=args.gen_len, prepend_bos=args.prepend_bos)
        logits, values = self.model.forward_with_value_head(ids)
        rewards = part1_rlhf.normalize_reward(self.reward(texts))
        logprobs = part1_rlhf.get_logprobs(logits, ids, self.prefix_len)
        advantages = part1_rlhf.compute_advantages(values, rewards, self.prefix_len)
        return ReplayMemory(args, ids, logprobs, advantages, values, self.ref_model(ids))

    def learning_phase(self, memory):
        objectives = []
        for minibatch in memory.get_minibatches():
            objective = self.compute_rlhf_objective(minibatch)
            objective.backward()
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1
            objectives.append(objective.item())
        return sum(objectives) / len(objectives)
