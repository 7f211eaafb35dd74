"""The loop that makes a language model better at its reward."""

import part1_rlhf
import torch
from rlhf_course import ReplayMemory, Trainer, calc_clipped_surrogate_objective, calc_value_function_loss, get_samples
from torch.nn.utils import clip_grad_norm_


class RLHFTrainer(Trainer):
    def compute_rlhf_objective(self, minibatch):
        cfg = self.args
        n = cfg.gen_len
        gen = slice(-n - 1, -1)  # positions whose logits chose the generated tokens

        logits, values = self.model.forward_with_value_head(minibatch.sample_ids)
        new_logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)

        objective = calc_clipped_surrogate_objective(
            new_logprobs, minibatch.logprobs, minibatch.advantages, cfg.clip_coef, n
        )
        objective = objective - calc_value_function_loss(values[:, gen], minibatch.returns, cfg.vf_coef, n)
        objective = objective + part1_rlhf.calc_entropy_bonus(logits[:, gen], cfg.ent_coef, n)
        return objective - part1_rlhf.calc_kl_penalty(logits[:, gen], minibatch.ref_logits[:, gen], cfg.kl_coef, n)

    def rollout_phase(self):
        cfg = self.args
        ids, texts = get_samples(
            self.model,
            prompt=cfg.prefix,
            batch_size=cfg.batch_size,
            gen_len=cfg.gen_len,
            temperature=cfg.temperature,
            top_k=cfg.top_k,
            prepend_bos=cfg.prepend_bos,
        )
        with torch.no_grad():
            logits, values = self.model.forward_with_value_head(ids)
            reference = self.ref_model(ids)
            logprobs = part1_rlhf.get_logprobs(logits, ids, self.prefix_len)

        reward = self.reward(texts)
        if cfg.normalize_reward:
            reward = part1_rlhf.normalize_reward(reward)
        advantages = part1_rlhf.compute_advantages(values, reward, self.prefix_len)
        return ReplayMemory(cfg, ids, logprobs, advantages, values, reference)

    def learning_phase(self, memory):
        total, steps = 0.0, 0
        for mb in memory.get_minibatches():
            objective = self.compute_rlhf_objective(mb)
            self.optimizer.zero_grad()
            objective.backward()
            clip_grad_norm_(self.model.parameters(), self.args.max_grad_norm)
            self.optimizer.step()
            self.step += 1
            total, steps = total + objective.item(), steps + 1
        self.scheduler.step()
        return total / steps
