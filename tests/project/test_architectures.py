"""Model folders of many architectures: tiny, random, and made here from Transformers' configurations."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from part1_rlhf import RLHFTrainer
from transformers import AutoConfig, AutoModelForCausalLM

from rlhf_course import load_model
from rlhf_course.errors import CourseError

_ALL = {"vocab_size": 307, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
_GPT2 = {"n_layer": 2, "n_embd": 24, "n_head": 3, "n_positions": 64}
_NEOX = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_LLAMA = {**_NEOX, "num_key_value_heads": 2}
_GEMMA = {**_LLAMA, "head_dim": 8, "sliding_window": 4, "query_pre_attn_scalar": 8}

DECODERS: dict[str, dict[str, Any]] = {
    "gpt2": _GPT2,
    "gpt_neo": {
        "hidden_size": 24,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "max_position_embeddings": 64,
    },
    "gpt_neox": _NEOX,
    "gptj": {**_GPT2, "rotary_dim": 4},
    "codegen": {**_GPT2, "n_head": 4, "rotary_dim": 4},
    "opt": {**_NEOX, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "bloom": {"hidden_size": 24, "n_layer": 2, "n_head": 4},
    "falcon": _NEOX,
    "mpt": {"d_model": 24, "n_layers": 2, "n_heads": 4, "max_seq_len": 64},
    "llama": _LLAMA,
    "mistral": {**_LLAMA, "sliding_window": 4},
    "mixtral": {**_LLAMA, "num_local_experts": 4},
    "qwen2": _LLAMA,
    "qwen3": {**_LLAMA, "head_dim": 8},
    "gemma": {**_LLAMA, "head_dim": 8},
    "gemma2": _GEMMA,
    "gemma3_text": _GEMMA,
    "phi": _NEOX,
    "phi3": _LLAMA,
    "stablelm": _LLAMA,
    "olmo2": _LLAMA,
    "smollm3": _LLAMA,
    "granite": _LLAMA,
}
REFUSED: dict[str, tuple[type | None, dict[str, Any], str]] = {
    "mamba": (
        None,
        {"hidden_size": 24, "num_hidden_layers": 2, "state_size": 4},
        r"ratios from 0\.\d+ to \d\.\d+ before",
    ),
    "openai-gpt": (None, _GPT2, r"ratios from 0\.\d+ to \d\.?\d* before any step, which should be 1"),
    "bert": (transformers.BertForMaskedLM, _NEOX, r"ratios from 0\.\d+ to \d\.\d+ before any step, which should be 1"),
    "t5": (
        transformers.T5ForConditionalGeneration,
        {"d_model": 24, "d_kv": 6, "d_ff": 48, "num_layers": 2, "num_heads": 4},
        "does not load as a Hugging Face language model",
    ),
}


def save(folder: Path, tokenizer: Path, name: str, settings: dict[str, Any], model_class: type | None = None) -> Any:
    """Save a model with random weights, and the tokenizer of another folder, and return the model."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **{**_ALL, **settings})
    model: Any = AutoModelForCausalLM.from_config(config) if model_class is None else model_class(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:  # larger than at the start of training, so that attention changes the logits
                parameter.normal_(std=0.25)
    model.save_pretrained(folder)
    for file in tokenizer.glob("tokenizer*"):
        shutil.copy(file, folder)
    return model.eval()


@pytest.mark.slow  # loads and runs each of more than twenty models
@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_has_transformers_logits_and_a_ratio_of_1_before_the_first_step(
    name, tmp_path, tiny_folder, small_args
):
    model = save(tmp_path / name, tiny_folder, name, DECODERS[name])
    model.set_attn_implementation("eager")
    trainer = RLHFTrainer(small_args(base_model=str(tmp_path / name), prefix="This is"))
    minibatch = trainer.rollout_phase().get_minibatches()[0]
    with torch.no_grad():
        logits, values = trainer.model.forward_with_value_head(minibatch.sample_ids)
        assert torch.allclose(logits, model(minibatch.sample_ids).logits, atol=1e-4)
        assert values.shape == minibatch.sample_ids.shape
    with torch.no_grad():  # the sampler's own probabilities, from the cache
        logprobs = _cached_logprobs(trainer, minibatch.sample_ids)
    assert torch.allclose((minibatch.logprobs - logprobs).exp(), torch.ones_like(logprobs), atol=1e-3)


def _cached_logprobs(trainer: Any, sample_ids: torch.Tensor) -> torch.Tensor:
    """Return the log-probability of each token of the given texts, read one token at a time with a cache."""
    from rlhf_course.rl.samples import generate

    columns = []
    for row in sample_ids:
        prompt, rest = row[None, : trainer.prefix_len], iter(row[trainer.prefix_len :])
        chosen = []

        def choose(logits, rest=rest, chosen=chosen):
            token = next(rest)
            chosen.append(logits[0].log_softmax(-1)[token])
            return token[None]

        generate(trainer.model.base_model, prompt, 1, len(row) - trainer.prefix_len, choose)
        columns.append(torch.stack(chosen))
    return torch.stack(columns)


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_does_not_sample_from_its_full_pass_is_refused_with_the_ratio(name, tmp_path, tiny_folder):
    model_class, settings, message = REFUSED[name]
    save(tmp_path / name, tiny_folder, name, settings, model_class)
    with pytest.raises(CourseError, match=message) as refusal:
        load_model(str(tmp_path / name))
    assert str(refusal.value).startswith(f"base_model '{tmp_path / name}': ")


# Folders that lack something


@pytest.mark.parametrize("name", ["gpt2", "qwen2"])  # for these, Transformers makes a tokenizer of special tokens alone
def test_a_folder_without_its_tokenizer_is_refused(name, tmp_path, tiny_folder):
    save(tmp_path / name, tmp_path / "nothing", name, DECODERS[name])
    with pytest.raises(CourseError, match=r"has no tokenizer that knows words \(.*vocab.json.* would hold it\)"):
        load_model(str(tmp_path / name))


def test_a_model_that_looks_ahead_is_refused(tmp_path, tiny_folder):
    def save_small(**settings):
        model = save(tmp_path / "model", tiny_folder, "gemma3_text", {**_GEMMA, **settings})
        with torch.no_grad():
            for layer in model.model.layers:
                layer.post_attention_layernorm.weight.fill_(-0.998)  # little attention: the ratio is near 1
        model.save_pretrained(tmp_path / "model")

    save_small()
    load_model(str(tmp_path / "model"))
    save_small(use_bidirectional_attention=True)
    with pytest.raises(CourseError, match="its last token changes the logits of the tokens before it"):
        load_model(str(tmp_path / "model"))


def test_a_tokenizer_with_more_tokens_than_the_model_embeds_is_refused(tmp_path, tiny_folder):
    save(tmp_path / "gpt2", tiny_folder, "gpt2", {**_GPT2, "vocab_size": 306})
    with pytest.raises(CourseError, match="has token ids up to 306, and the model takes ids below 306: save"):
        load_model(str(tmp_path / "gpt2"))


def test_code_in_a_folder_is_refused_without_a_question(tmp_path, monkeypatch):
    from rlhf_course.rl.pretrained import CompleteCausalLM

    monkeypatch.setattr("builtins.input", lambda *question: pytest.fail("asked a question"))
    code = {"model_type": "distilbert", "auto_map": {"AutoModelForCausalLM": "own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(code))
    (tmp_path / "own.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ValueError, match="trust_remote_code"):
        CompleteCausalLM.from_pretrained(tmp_path)


def test_a_folder_whose_weights_are_not_all_there_is_refused(tmp_path, tiny_folder):
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_layer": 3}))
    with pytest.raises(CourseError, match=r"its weights lack 12 of the model's tensors, such as transformer\.h\.2"):
        load_model(str(folder))


def test_an_error_of_an_architecture_becomes_one_line_with_the_models_name(tmp_path, tiny_folder):
    save(tmp_path / "bigcode", tiny_folder, "gpt_bigcode", _GPT2)
    with pytest.raises(CourseError, match="cannot be sampled from and trained here: RuntimeError: shape") as refusal:
        load_model(str(tmp_path / "bigcode"))
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 500
