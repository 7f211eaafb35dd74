"""The loop that makes a language model better at its reward."""

import part1_rlhf
from rlhf_course import Trainer, calc_clipped_surrogate_objective, calc_value_function_loss


class RLHFTrainer(Trainer):
    def compute_rlhf_objective(self, minibatch):
        a = self.args
        logits, values = self.model.forward_with_value_head(minibatch.sample_ids)
        logprobs = part1_rlhf.get_logprobs(logits, minibatch.sample_ids, self.prefix_len)
        window = slice(self.prefix_len - 1, -1)
        surrogate = calc_clipped_surrogate_objective(logprobs, minibatch.logprobs, minibatch.advantages, a.clip_coef, a.gen_len)
        value = calc_value_function_loss(values[:, window], minibatch.returns, a.vf_coef, a.gen_len)
        entropy = part1_rlhf.calc_entropy_bonus(logits[:, window], a.ent_coef, a.gen_len)
        kl = part1_rlhf.calc_kl_penalty(logits[:, window], minibatch.ref_logits[:, window], a.kl_coef, a.gen_len)
        return surrogate + entropy - value - kl

    def rollout_phase(self):
        raise NotImplementedError("tomorrow")

    def learning_phase(self, memory):
        raise NotImplementedError("tomorrow")
