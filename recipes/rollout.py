"""Record a rollout of the embedded model, from which the hidden tests draw realistic inputs.

usage: python -m recipes.rollout

Trains a policy with the reference's code for some phases, samples texts with it, and writes tokens, texts, values,
period counts, and for a few texts the logits of policy and reference, to the judge's `rollout.npz`.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch

from rlhf_course import RLHFArgs, get_samples, use_code
from rlhf_course.grading.judge.rollouts import ROLLOUT
from rlhf_course.learner_package import trainer_class
from rlhf_course.paths import SOLUTIONS

PHASES, TEXTS, TEXTS_WITH_LOGITS, GEN_LEN = 12, 24, 4, 7


def main() -> None:
    """Train, sample and write the file."""
    use_code(SOLUTIONS)
    args = RLHFArgs.for_profile("laptop", "periods", total_phases=PHASES, seed=1, gen_len=GEN_LEN)
    trainer = trainer_class()(args)
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(out=Path(folder) / "run", show=False)
    ids, texts = get_samples(trainer.model, args.prefix, TEXTS, gen_len=GEN_LEN, prepend_bos=args.prepend_bos)
    with torch.no_grad():
        logits, values = trainer.model.forward_with_value_head(ids)
        ref_logits = trainer.ref_model(ids)
    np.savez_compressed(
        ROLLOUT,
        tokens=ids.numpy().astype(np.int16),
        texts=np.array(texts),
        values=values.numpy().astype(np.float32),
        rewards=np.array([text.count(".") for text in texts], dtype=np.float32),
        logits=logits[:TEXTS_WITH_LOGITS].half().numpy(),
        ref_logits=ref_logits[:TEXTS_WITH_LOGITS].half().numpy(),
        prefix_len=np.array(trainer.prefix_len),
    )


if __name__ == "__main__":
    main()
