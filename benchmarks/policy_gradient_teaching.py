"""Measure what notebooks 14 and 15 state beyond recorded runs: `python benchmarks/policy_gradient_teaching.py`

It writes results/policy_gradient_teaching.json after each measurement, does what is missing there, and prints a table.
With `--show` it measures nothing. policy_gradient_figures.py makes of the results the clauses that the notebooks hold.
"""

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch
from harness import RESULTS, machine
from teaching import estimator_cosines
from torch import Tensor, nn

from rlhf_course import TASKS, fit_linear_critic, generate_completions, get_samples, load_model, token_states
from rlhf_course.files import write_text
from rlhf_course.learner_package import imported_answer
from rlhf_course.rl.batches import TextBatch, encode
from rlhf_course.rl.matmul import onednn_matmul
from rlhf_course.rl.policy_gradients.args import TaskArgs
from rlhf_course.rl.policy_gradients.sft import SFTTrainer
from rlhf_course.rl.samples import generate, sample_token
from rlhf_course.rl.special_tokens import END_OF_TEXT

RESULT = RESULTS / "policy_gradient_teaching.json"
SEEDS = (1, 2, 3)
PROMPT, GEN_LEN = "This is", 24
FITTED, MEASURED = 512, 256
LAMBDAS = (0.0, 0.5, 0.8, 0.9, 0.95, 1.0)
STATES, TOKENS, CONTINUATIONS = 10, 5, 64
FAR_KL = 0.8  # nats a token
STEPS, EVALUATED_EVERY, HELD_OUT = 30, 5, 200


class Critics:
    """A critic that has learnt nothing, and two that are fitted to the number of periods in a model's texts.

    Attributes:
        ids: The texts that the critics were not fitted to.
        rewards: Their rewards, normalised by those of the texts that the critics were fitted to.
    """

    def __init__(self, seed: int) -> None:
        self.model = load_model("embedded")
        self.generator = torch.Generator().manual_seed(seed)
        tokens = range(self.model.cfg.d_vocab)
        self.periods = torch.tensor([float(self.model.tokenizer.decode([token]).count(".")) for token in tokens])
        every = [self._samples() for _ in range((FITTED + MEASURED) // 256)]
        ids = torch.cat(every)
        counts = self.periods[ids[:, -GEN_LEN:]].sum(1)
        self.mean, self.deviation = counts[:FITTED].mean(), counts[:FITTED].std()
        rewards = (counts - self.mean) / self.deviation
        features = self._features(ids)
        torch.manual_seed(seed)
        d_model = self.model.cfg.d_model
        self.fresh = nn.Sequential(nn.Linear(d_model, 4 * d_model), nn.ReLU(), nn.Linear(4 * d_model, 1))
        self.of_state = fit_linear_critic(features[:FITTED, :, :-1], rewards[:FITTED])
        self.of_state_and_count = fit_linear_critic(features[:FITTED], rewards[:FITTED])
        self.ids, self.rewards, self.measured_features = ids[FITTED:], rewards[FITTED:], features[FITTED:]

    def _samples(self) -> Tensor:
        return get_samples(self.model, PROMPT, 256, GEN_LEN, 1.0, top_k=None, generator=self.generator)[0]

    def _features(self, ids: Tensor, gen_len: int = GEN_LEN) -> Tensor:
        """Return the state in which each token was chosen, a 1, and the number of periods generated before it."""
        states = token_states(self.model, ids, gen_len)
        generated = self.periods[ids]
        generated[:, : ids.shape[1] - GEN_LEN] = 0
        before = generated.cumsum(1)[:, -gen_len - 1 : -1]
        return torch.cat([states, torch.ones_like(states[..., :1]), before[..., None]], dim=-1)

    @torch.no_grad()
    def values(self, features: Tensor) -> dict[str, Tensor]:
        """Return the values that each critic gives."""
        return {
            "fresh": self.fresh(features[..., : self.model.cfg.d_model]).squeeze(-1),
            "state": features[..., :-1] @ self.of_state,
            "count": features @ self.of_state_and_count,
        }

    def explained(self) -> dict[str, list[float]]:
        """Return the share of the rewards' variance that each critic explains at each token."""
        values = self.values(self.measured_features)
        left = {name: (self.rewards[:, None] - value).var(0) / self.rewards.var() for name, value in values.items()}
        return {name: (1 - share).tolist() for name, share in left.items()}

    def token_errors(self) -> dict[str, dict[str, list[float]]]:
        """Return bias and deviation of the generalised advantages of each critic, for each lambda.

        The five likeliest tokens of some states get many continuations each. The bias of a token's advantage is that of
        its mean over the continuations, after the mean over the five tokens was subtracted from all: what is added to
        all tokens alike makes none of them likelier. The noise of that mean is taken out of the squared bias.
        """
        compute_gae = imported_answer("compute_gae")
        squares = {name: torch.zeros(2, len(LAMBDAS)) for name in ("fresh", "state", "count")}
        spread = 0.0
        for index in range(STATES):
            length = self.ids.shape[1] - GEN_LEN + 3 + 2 * (index % 5)  # 3 to 11 tokens are generated before the state
            prefix = self.ids[index : index + 1, :length]
            chosen = self.model(prefix)[0, -1].topk(TOKENS).indices
            gen_len = self.ids.shape[1] - length
            texts = torch.cat([self._continued(torch.cat([prefix, token.reshape(1, 1)], 1)) for token in chosen])
            rewards = (self.periods[texts[:, -GEN_LEN:]].sum(1) - self.mean) / self.deviation
            spread += rewards.reshape(TOKENS, -1).mean(1).var(correction=0).item() / STATES
            at_last = torch.zeros(len(texts), gen_len)
            at_last[:, -1] = rewards
            for name, values in self.values(self._features(texts, gen_len)).items():
                for column, lam in enumerate(LAMBDAS):
                    gae = compute_gae(values, at_last, torch.ones_like(values, dtype=torch.bool), 1.0, lam)[:, 0]
                    groups, error = gae.reshape(TOKENS, -1), (gae - rewards).reshape(TOKENS, -1)
                    centred = error.mean(1) - error.mean()
                    noise = error.var(1).mean() / CONTINUATIONS * (1 - 1 / TOKENS)
                    squares[name][0, column] += (centred.square().mean() - noise) / STATES
                    squares[name][1, column] += groups.var(1).mean() / STATES
        errors = {
            name: {"bias": bias.clamp(min=0).sqrt().tolist(), "deviation": variance.sqrt().tolist()}
            for name, (bias, variance) in squares.items()
        }
        return {**errors, "tokens": {"spread": [spread**0.5]}}

    def _continued(self, prefix: Tensor) -> Tensor:
        missing = self.ids.shape[1] - prefix.shape[1]
        with onednn_matmul():
            return generate(
                self.model,
                prefix,
                CONTINUATIONS,
                missing,
                lambda logits: sample_token(logits, generator=self.generator),
            )


def critics(seed: int) -> dict[str, Any]:
    """Measure what the critics explain, and the errors of the advantages that they give."""
    found = Critics(seed)
    return {"explained": found.explained(), "errors": found.token_errors()}


def far_estimators(seed: int) -> dict[str, float]:
    """Measure the estimators' gradients for a policy that is far from its reference."""
    return estimator_cosines(seed, FAR_KL)


def with_end(batch: TextBatch) -> Tensor:
    """Return the mask of the completions, with their end-of-text tokens."""
    return batch.completion_mask


def without_end(batch: TextBatch) -> Tensor:
    """Return the mask of the completions without their end-of-text tokens."""
    last = batch.completion_mask.cumsum(1) == batch.completion_mask.sum(1, keepdim=True)
    return batch.completion_mask & ~last


def with_prompt(batch: TextBatch) -> Tensor:
    """Return the mask of prompts and completions."""
    return batch.attention_mask


def fine_tuning(seed: int, mask_of: Callable[[TextBatch], Tensor]) -> dict[str, list[float]]:
    """Return what a model that learns demonstrations of the sorting task writes, after every few steps."""
    trainer = SFTTrainer(TaskArgs.for_run("sft", seed=seed))
    sft_loss = imported_answer("sft_loss")
    measured = [_written(trainer.model)]
    for step in range(STEPS):
        prompts = trainer.batch_of(step)
        batch = encode(trainer.model.tokenizer, prompts, [trainer.task.demonstration(prompt) for prompt in prompts])
        with onednn_matmul():
            trainer.step(sft_loss(trainer.model(batch.input_ids), batch.input_ids, mask_of(batch)))
        if (step + 1) % EVALUATED_EVERY == 0:
            measured.append(_written(trainer.model))
    return {name: [row[name] for row in measured] for name in measured[0]}


def _written(model: Any) -> dict[str, float]:
    """Return how many completions of held-out prompts end, start with the right digits, and are right."""
    task = TASKS["sorting"]
    prompts = task.prompts(HELD_OUT, 0, held_out=True)
    wanted = [task.demonstration(prompt) for prompt in prompts]
    shares = {}
    for name, temperature in (("sampled", 1.0), ("greedy", 0.0)):
        generator = torch.Generator().manual_seed(0)
        texts = generate_completions(model, prompts, 8, temperature, generator).texts
        pairs = list(zip(texts, wanted, strict=True))
        shares |= {
            f"{name}_ended": sum(text.endswith(END_OF_TEXT) for text in texts) / HELD_OUT,
            f"{name}_digits": sum(text.startswith(right[:4]) for text, right in pairs) / HELD_OUT,
            f"{name}_right": sum(text == right for text, right in pairs) / HELD_OUT,
        }
    return shares


MEASUREMENTS: dict[str, Callable[[int], dict[str, Any]]] = {
    "critics": critics,
    "fine_tuning": lambda seed: fine_tuning(seed, with_end),
    "fine_tuning_without_end": lambda seed: fine_tuning(seed, without_end),
    "fine_tuning_with_prompt": lambda seed: fine_tuning(seed, with_prompt),
    "far_estimators": far_estimators,
}


def stored() -> dict[str, Any]:
    """Return the results of the latest measurements."""
    return json.loads(RESULT.read_text()) if RESULT.exists() else {}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, 4) if isinstance(value, float) else value


def measure() -> None:
    """Make the measurements that are missing, and write each at once."""
    for name, function in MEASUREMENTS.items():
        for seed in SEEDS:
            results = stored()
            if str(seed) in results.get(name, {}):
                continue
            results.setdefault("machine", machine())
            results.setdefault(name, {})[str(seed)] = _rounded(function(seed))
            write_text(RESULT, json.dumps(results, indent=1) + "\n")
            print(name, seed, flush=True)


def main() -> None:
    """Measure what is missing, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="measure nothing, and print the stored results")
    if not parser.parse_args().show:
        measure()
    for name, seeds in stored().items():
        for seed, found in seeds.items():
            print(name, seed, json.dumps(found))


if __name__ == "__main__":
    main()
