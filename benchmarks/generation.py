"""Measure the speed of sampling: `python benchmarks/generation.py`

It samples 128 texts of 30 new tokens from the embedded model by the course's `get_samples`, TransformerLens'
`generate`, and Hugging Face's `generate` with its own attention kernels, each with a key-value cache.
"""

from harness import measurement, ratios, time_in_turn

# isort: split
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2LMHeadModel
from transformers.utils import logging

from rlhf_course import get_samples, load_model
from rlhf_course.rl.models import EMBEDDED

BATCH, GEN = 128, 30


def main() -> None:
    """Time the three ways to sample, and write the results."""
    logging.set_verbosity_error()
    model, bridge = load_model("embedded"), TransformerBridge.boot_transformers(str(EMBEDDED), device="cpu")
    peer = GPT2LMHeadModel.from_pretrained(EMBEDDED, dtype=torch.float32).eval()
    prompt = model.to_tokens("This is")
    batch = prompt.expand(BATCH, -1)

    def generate_by_transformers() -> None:
        lengths = {"max_new_tokens": GEN, "min_new_tokens": GEN}
        mask = torch.ones_like(batch)
        peer.generate(batch, attention_mask=mask, do_sample=True, top_k=10, temperature=1.0, pad_token_id=0, **lengths)

    with measurement("generation") as results, torch.no_grad():
        measured = time_in_turn(
            {
                "get_samples": lambda: get_samples(model, "This is", BATCH, gen_len=GEN, temperature=1.0, top_k=10),
                "TransformerLens generate": lambda: bridge.generate(
                    batch, max_new_tokens=GEN, top_k=10, stop_at_eos=False, verbose=False, return_type="tokens"
                ),
                "Hugging Face generate": generate_by_transformers,
            }
        )
        times = {name: 1 / ratio for name, ratio in ratios(measured, "get_samples").items()}
        results |= {"batch": BATCH, "gen_len": GEN, "generation": measured, "times_the_cpu_of_get_samples": times}


if __name__ == "__main__":
    main()
