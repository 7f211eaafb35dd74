"""The loss of supervised fine-tuning."""

from jaxtyping import Bool, Float, Int
from torch import Tensor


def sft_loss(
    logits: Float[Tensor, "batch seq vocab"],
    input_ids: Int[Tensor, "batch seq"],
    loss_mask: Bool[Tensor, "batch seq"],
) -> Float[Tensor, ""]:
    """The mean negative log-likelihood of the demonstrations' tokens, given all tokens before each.

    Every token that counts has the same weight, in whichever text of the batch it stands.

    Args:
        logits: a language model's; those at a position predict the token at the next one. Gradients flow to them.
        input_ids: the token ids; those of padding are arbitrary.
        loss_mask: True at the tokens to learn, which are the targets. A token at position 0 never counts, since nothing
            predicts it. Padding stands on either side. A text may have no target.

    Returns: a scalar, in nats a token, finite for logits of any size. Logits that predict no target have no effect
    on it, even if they are NaN, and those that are numbers get no gradient.

    Raises:
        ValueError: no token is a target.

    Source: Ouyang et al. 2022, Training language models to follow instructions with human feedback, section 3.5.
    """
    ### BEGIN SOLUTION
    targets = loss_mask[:, 1:]
    if not targets.any():
        raise ValueError("loss_mask names no target: no token after position 0 is True")
    logprobs = logits[:, :-1][targets].log_softmax(dim=-1)
    chosen = logprobs.gather(-1, input_ids[:, 1:][targets][:, None])
    return -chosen.mean()
    ### END SOLUTION
