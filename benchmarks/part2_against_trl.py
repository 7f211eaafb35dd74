"""Compare part 2's functions with TRL and transformers: `.venv/bin/python benchmarks/part2_against_trl.py`

Values and gradients are compared in float64 on drawn inputs, with the functions of the same meaning:

- `bradley_terry_loss` and `reward_accuracy` with the loss and the accuracy of TRL's `RewardTrainer`,
- `sequence_logprobs` with TRL's `selective_log_softmax`, summed where the mask is True,
- `dpo_loss` with the loss and the recorded rewards of TRL's `DPOTrainer` on drawn log-probabilities of tokens,
- `dpo_loss` of `sequence_logprobs` with the same trainer on the embedded model, whose fused head in TRL computes
  log-probabilities in float32,
- `RewardModel` with transformers' `GPT2ForSequenceClassification`, on texts that are padded on either side.

Neither library has `normalize_rewards`, `best_of_n` or `best_of_n_kl`: `tests/project/test_reference_answers.py`
compares these, and the others too, with plain float64 formulas. TRL runs in an environment of its own (.venv-trl, which
`make trl` installs), as a process that this script starts.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

ROOT = Path(__file__).resolve().parents[1]
TRL_PYTHON = ROOT / ".venv-trl" / "bin" / "python"
EMBEDDED = ROOT / "utils" / "rlhf_course" / "models" / "embedded"
BETA, DRAWS = 0.1, 5
ON_A_MODEL = "dpo_loss of sequence_logprobs, on the embedded model"


def draw(seed: int, vocab: int) -> dict[str, torch.Tensor]:
    """Draw rewards, and token ids and masks of pairs of texts, whose padding has an id of its own: the last one."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    pairs, seq = 6, 12
    ids = torch.randint(0, vocab - 1, (2 * pairs, seq), generator=generator)
    lengths = torch.randint(3, seq + 1, (2 * pairs, 1), generator=generator)
    is_left = torch.randint(0, 2, (2 * pairs, 1), generator=generator).bool()
    places = torch.arange(seq).repeat(2 * pairs, 1)
    start = torch.where(is_left, seq - lengths, 0)
    mask = (places >= start) & (places < start + lengths)
    prompts = torch.randint(1, 3, (2 * pairs, 1), generator=generator)
    return {
        "rewards": 3 * normal(2 * pairs),
        "margin": normal(pairs),
        "logits": 4 * normal(2 * pairs, seq, 50),
        "logit ids": torch.randint(0, 50, (2 * pairs, seq), generator=generator),
        "input_ids": ids.masked_fill(~mask, vocab - 1),
        "attention_mask": mask,
        "completion_mask": mask & (places >= start + prompts),
        "token logprobs": -3 * normal(2 * pairs, seq - 1).abs(),
        "reference": -20 + 5 * normal(2 * pairs),
    }


def position_ids(mask: torch.Tensor) -> torch.Tensor:
    """Count positions from each text's first real token."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)


def with_gradients(outputs: dict[str, torch.Tensor], leaves: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return each output by name, and the gradients of its weighted sum at the leaves as one vector."""
    found = {}
    for name, output in outputs.items():
        weights = torch.arange(1.0, output.numel() + 1, dtype=torch.float64)
        total = (output.flatten() * weights).sum()
        gradients = torch.autograd.grad(total, leaves, retain_graph=True, allow_unused=True, materialize_grads=True)
        found[name] = output.detach()
        found[f"{name}: gradient"] = torch.cat([gradient.flatten() for gradient in gradients])
    return found


def of_trl(inputs: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    """Return what TRL and transformers compute; called in TRL's environment."""
    from trl import RewardTrainer
    from trl.trainer.utils import selective_log_softmax

    found: dict[str, torch.Tensor] = {}
    for name in ("without margin", "with margin"):
        rewards = inputs["rewards"].clone().requires_grad_(True)
        batch = {"attention_mask": inputs["attention_mask"]}
        batch |= {"margin": inputs["margin"]} if name == "with margin" else {}
        trainer = _trainer_state()
        model = _returning(SimpleNamespace(logits=rewards[:, None]))
        loss = RewardTrainer.compute_loss(trainer, model, batch)
        found |= with_gradients({f"bradley_terry_loss {name}": loss}, [rewards])
        (found["reward_accuracy"],) = map(torch.tensor, trainer._metrics["eval"]["accuracy"])  # No rewards are equal.
    logits, mask = inputs["logits"].clone().requires_grad_(True), inputs["completion_mask"]
    logprobs = selective_log_softmax(logits[:, :-1], inputs["logit ids"][:, 1:])
    summed = logprobs.masked_fill(~mask[:, 1:], 0.0).sum(1)
    return (
        found | with_gradients({"sequence_logprobs": summed}, [logits]) | _dpo_of_trl(inputs) | _rewards(inputs, folder)
    )


def _returning(result: object) -> object:
    """Return a model whose forward pass gives a result."""
    return lambda **inputs: result


def _trainer_state() -> SimpleNamespace:
    """Return the attributes that the losses of TRL's trainers read, for one process in eval mode."""
    from collections import defaultdict

    accelerator = SimpleNamespace(gather=lambda value: value, gather_for_metrics=lambda value: value)
    return SimpleNamespace(
        model=SimpleNamespace(training=False),
        accelerator=accelerator,
        args=SimpleNamespace(center_rewards_coefficient=None),
        _metrics={"eval": defaultdict(list)},
        _total_train_tokens=0,
    )


def _dpo_of_trl(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return loss, recorded rewards and gradients of `DPOTrainer`, on drawn log-probabilities and on a model's."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    model = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float64)
    example = {"prompt": "This movie", "chosen": " was good", "rejected": " was bad"}
    with tempfile.TemporaryDirectory() as out:
        trainer = DPOTrainer(
            model=model,
            args=DPOConfig(
                output_dir=out,
                beta=BETA,
                report_to=[],
                use_cpu=True,
                bf16=False,
                gradient_checkpointing=False,
                precompute_ref_log_probs=False,
                disable_dropout=True,
            ),
            processing_class=AutoTokenizer.from_pretrained(EMBEDDED),
            train_dataset=Dataset.from_list([example]),
        )
    trainer.model.eval()
    trainer.precompute_ref_logps = True
    pairs = len(inputs["reference"]) // 2
    mask = inputs["attention_mask"]
    batch = {
        "input_ids": inputs["input_ids"],
        "attention_mask": mask.long(),
        "position_ids": position_ids(mask),
        "completion_mask": inputs["completion_mask"].long(),
        "ref_chosen_logps": inputs["reference"][:pairs],
        "ref_rejected_logps": inputs["reference"][pairs:],
    }
    logprobs = inputs["token logprobs"].clone().requires_grad_(True)
    zeros = torch.zeros_like(logprobs)
    drawn = SimpleNamespace(
        log_probs=logprobs.masked_fill(~inputs["completion_mask"][:, 1:], 0.0),
        entropy=zeros,
        mean_logits=zeros,
        is_top1=zeros.bool(),
    )
    found = with_gradients({"dpo_loss": trainer.compute_loss(_returning(drawn), batch)}, [logprobs])
    for kind in ("chosen", "rejected"):
        found[f"dpo_loss, mean reward of the {kind}"] = torch.tensor(
            trainer._metrics["eval"][f"rewards/{kind}"][-1], dtype=torch.float64
        )
    loss = trainer.compute_loss(trainer.model, batch)
    return found | with_gradients({ON_A_MODEL: loss}, list(trainer.model.parameters()))


def _rewards(inputs: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    """Return the rewards of transformers' classifier, with gradients at its head and its embeddings."""
    from transformers import GPT2ForSequenceClassification

    model = GPT2ForSequenceClassification.from_pretrained(folder, dtype=torch.float64).eval()
    mask = inputs["attention_mask"]
    rewards = model(inputs["input_ids"], attention_mask=mask.long(), position_ids=position_ids(mask)).logits.squeeze(-1)
    return with_gradients({"RewardModel": rewards}, [model.score.weight, model.transformer.wte.weight])


def of_part2(inputs: dict[str, torch.Tensor], folder: Path) -> dict[str, torch.Tensor]:
    """Return what the functions of part 2 compute; called in the course's environment."""
    import part2_preferences as part2  # The harness has put solutions/ on the path.

    found: dict[str, torch.Tensor] = {}
    pairs = len(inputs["margin"])
    for name, margin in (("without margin", None), ("with margin", inputs["margin"])):
        rewards = inputs["rewards"].clone().requires_grad_(True)
        loss = part2.bradley_terry_loss(rewards[:pairs], rewards[pairs:], margin)
        found |= with_gradients({f"bradley_terry_loss {name}": loss}, [rewards])
    found["reward_accuracy"] = part2.reward_accuracy(inputs["rewards"][:pairs], inputs["rewards"][pairs:])
    logits = inputs["logits"].clone().requires_grad_(True)
    summed = part2.sequence_logprobs(logits, inputs["logit ids"], inputs["completion_mask"])
    found |= with_gradients({"sequence_logprobs": summed}, [logits])
    return found | _dpo_of_part2(inputs, part2) | _rewards_of_part2(inputs, folder, part2)


def _dpo_of_part2(inputs: dict[str, torch.Tensor], part2: Any) -> dict[str, torch.Tensor]:
    """Return what `dpo_loss` gives on drawn log-probabilities, and on the embedded model's."""
    from transformers import AutoModelForCausalLM

    token_logprobs, mask = inputs["token logprobs"].clone().requires_grad_(True), inputs["attention_mask"]
    summed = token_logprobs.masked_fill(~inputs["completion_mask"][:, 1:], 0.0).sum(1)
    losses, *rewards = part2.dpo_loss(*summed.chunk(2), *inputs["reference"].chunk(2), beta=BETA)
    found = with_gradients({"dpo_loss": losses.mean()}, [token_logprobs])
    for kind, reward in zip(("chosen", "rejected"), rewards, strict=True):
        found[f"dpo_loss, mean reward of the {kind}"] = reward.mean()
    model = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float64).eval()
    logits = model(inputs["input_ids"], attention_mask=mask.long(), position_ids=position_ids(mask)).logits
    logprobs = part2.sequence_logprobs(logits, inputs["input_ids"], inputs["completion_mask"])
    losses, *_ = part2.dpo_loss(*logprobs.chunk(2), *inputs["reference"].chunk(2), beta=BETA)
    return found | with_gradients({ON_A_MODEL: losses.mean()}, list(model.parameters()))


def _rewards_of_part2(inputs: dict[str, torch.Tensor], folder: Path, part2: Any) -> dict[str, torch.Tensor]:
    """Return the rewards of a `RewardModel` with the classifier's weights, with gradients at head and embeddings."""
    from transformers import GPT2ForSequenceClassification

    model = part2.RewardModel.from_pretrained(str(folder)).double()
    with torch.no_grad():
        score = GPT2ForSequenceClassification.from_pretrained(folder, dtype=torch.float64).score.weight
        model.reward_head.weight.copy_(score)
    rewards = model(inputs["input_ids"], inputs["attention_mask"])
    embedding = dict(torch.nn.Module.named_parameters(model.base_model))
    (wte,) = [value for name, value in embedding.items() if name.replace("._original_component", "") == "embed.weight"]
    return with_gradients({"RewardModel": rewards}, [model.reward_head.weight, wte])


def save_classifier(folder: Path) -> None:
    """Save a small GPT-2 with a score, whose last layer norm has no scale and no bias, as a reward head reads it."""
    from transformers import AutoTokenizer, GPT2Config, GPT2ForSequenceClassification

    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=32,
        n_embd=32,
        n_layer=2,
        n_head=4,
        num_labels=1,
        pad_token_id=len(tokenizer) - 1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = GPT2ForSequenceClassification(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
        model.transformer.ln_f.weight.fill_(1.0)
        model.transformer.ln_f.bias.zero_()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run_peer(folder: Path) -> None:
    """Compute everything by TRL, in the process that runs in its environment, and save it."""
    import transformers
    import trl

    found = [of_trl(inputs, folder) for inputs in torch.load(folder / "inputs.pt")]
    versions = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": str(torch.__version__)}
    torch.save({"versions": versions, "results": found}, folder / "peer.pt")


def largest_differences(results: list[dict], peer: list[dict]) -> dict[str, dict[str, float]]:
    """Return, for each name, the largest difference of values and of gradients over all draws."""
    table: dict[str, dict[str, float]] = {}
    for ours, theirs in zip(results, peer, strict=True):
        assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
        for key, value in ours.items():
            name, is_gradient = key.removesuffix(": gradient"), key.endswith(": gradient")
            kind = "gradients" if is_gradient else "values"
            assert value.shape == theirs[key].shape, key
            row = table.setdefault(name, {})
            row[kind] = max(row.get(kind, 0.0), float((value.double() - theirs[key].double()).abs().max()))
    return table


def main() -> None:
    """Compute both sides, and write the largest differences."""
    if not TRL_PYTHON.is_file():
        sys.exit("TRL is not installed: `make trl` installs it into .venv-trl")
    os.environ["HF_HUB_OFFLINE"] = "1"
    from harness import write_results
    from transformers import AutoTokenizer

    vocab = len(AutoTokenizer.from_pretrained(EMBEDDED))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_classifier(folder)
        inputs = [draw(seed, vocab) for seed in range(DRAWS)]
        torch.save(inputs, folder / "inputs.pt")
        subprocess.run([TRL_PYTHON, __file__, "peer", folder], check=True)
        peer = torch.load(folder / "peer.pt")
        table = largest_differences([of_part2(one, folder) for one in inputs], peer["results"])
    write_results("part2_against_trl", {"versions": peer["versions"], "draws": DRAWS, "largest_difference": table})
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    run_peer(Path(sys.argv[2])) if sys.argv[1:2] == ["peer"] else main()
