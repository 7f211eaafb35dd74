"""Copy a finished run to models/embedded/ and write its model card, whose numbers come from measured files."""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
from pathlib import Path
from string import Template

import torch
from transformers import AutoTokenizer, GPT2LMHeadModel

from recipes.train import SECOND_PEAK
from rlhf_course.rl.models import EMBEDDED

HERE = Path(__file__).parent
PROMPTS = ("This is", "There is", "This movie was really")
SAMPLES, NEW_TOKENS, TOP_K, SEED = 4, 50, 10, 1


def markdown_table(rows: list[dict[str, str]]) -> str:
    """Return a Markdown table whose columns are the keys of the first row."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([str(cell) for cell in row.values()] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def data_table(sources: list[dict], bits: dict[str, float]) -> str:
    """Return a table of the sources with package, version, licence, size, share and held-out bits per character."""
    return markdown_table(
        [
            {
                "source": source["source"],
                "package": f"{source['manager']} `{source['package']}` {source['version']}",
                "licence": source["licence"],
                "training MB": f"{source['train_mb']:.2f}",
                "held-out MB": f"{source['held_out_mb']:.2f}",
                "share of windows": f"{source['share']:.0%}",
                "held-out bits/character": f"{bits[source['source']]:.2f}" if source["source"] in bits else "-",
            }
            for source in sources
        ]
    )


def weighted(bits: dict[str, float], sources: list[dict]) -> float:
    """Return the mean of bits per character over the sources, weighted by their shares of the training windows."""
    shares = {source["source"]: source["share"] for source in sources if source["source"] in bits}
    return sum(bits[name] * share for name, share in shares.items()) / sum(shares.values())


def cycles(facts: dict, losses: list[dict[str, str]], sources: list[dict]) -> str:
    """Describe the first training cycle of a run that started from a trained model; return "" for other runs."""
    if facts["earlier_bits"] is None:
        return ""
    earlier = [row for row in losses if float(row["minutes"]) <= facts["minutes"] - facts["own_minutes"] + 0.01][-1]
    return (
        f"Training went through two cycles of the learning rate. The second, of {facts['own_minutes']:.0f} minutes, "
        "began after "
        f"{int(earlier['tokens']) / 1e6:.1f} million tokens with the first one's weights, "
        f"at {SECOND_PEAK} of the rates, and with "
        "texts that had been written meanwhile; the data above are what it read. "
        "On its held-out documents, weighted by the sources' "
        f"shares, the first cycle's model has {weighted(facts['earlier_bits'], sources):.3f} bits a character, "
        "and this one "
        f"{weighted(facts['bits'], sources):.3f}.\n\n"
    )


@torch.inference_mode()
def samples(folder: Path) -> str:
    """Return unedited, seeded samples, which are sampled as in the course."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    torch.manual_seed(SEED)
    blocks = []
    for prompt in PROMPTS:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer.encode(prompt)]] * SAMPLES)
        for _ in range(NEW_TOKENS):
            best, index = model(ids).logits[:, -1].topk(TOP_K)
            ids = torch.cat([ids, index.gather(-1, best.softmax(-1).multinomial(1))], dim=-1)
        texts = tokenizer.batch_decode(ids[:, 1:])
        blocks.append(
            f'After "{prompt}":\n\n'
            + "\n".join(f"{number}. `{json.dumps(text)[1:-1]}`" for number, text in enumerate(texts, 1))
        )
    return "\n\n".join(blocks)


def draw_losses(path: Path, rows: list[dict[str, str]]) -> None:
    """Plot training loss and held-out bits per character against the number of tokens."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tokens = [int(row["tokens"]) / 1e6 for row in rows]
    figure, left = plt.subplots(figsize=(5, 3), dpi=80)
    left.plot(tokens, [float(row["train_loss"]) for row in rows], color="tab:blue")
    left.set_xlabel("million tokens read")
    left.set_ylabel("training loss, nats a token", color="tab:blue")
    right = left.twinx()
    right.plot(tokens, [float(row["held_out_bits_per_character"]) for row in rows], color="tab:orange", linestyle="--")
    right.set_ylabel("held-out bits a character", color="tab:orange")
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def stage(run: Path) -> Path:
    """Copy the run's model and losses to a new folder beside the final one."""
    folder = EMBEDDED.with_suffix(".new")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(run / "model", folder)
    settings = folder / "tokenizer_config.json"
    # Every version of transformers has this class.
    config = json.loads(settings.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    settings.write_text(json.dumps(config, indent=2) + "\n")
    special = {name: config[name] for name in ("bos_token", "eos_token", "unk_token", "pad_token")}
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n")
    shutil.copy(run / "losses.csv", folder / "losses.csv")
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


def card(work: Path, run: Path, folder: Path) -> str:
    """Return the text of the model card."""
    facts = json.loads((run / "facts.json").read_text())
    losses = list(csv.DictReader((folder / "losses.csv").open()))
    sources = json.loads((work / "corpus.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    written = sum(source["train_mb"] for source in sources if source["source"].startswith("written"))
    return Template((HERE / "card_template.md").read_text()).substitute(
        parameters=f"{facts['parameters'] / 1e6:.2f}",
        layers=config["n_layer"],
        width=config["n_embd"],
        heads=config["n_head"],
        positions=config["n_positions"],
        vocabulary=config["vocab_size"],
        size=f"{(folder / 'model.safetensors').stat().st_size / 1e6:.1f}",
        steps=f"{facts['steps']:,}",
        tokens=f"{facts['tokens'] / 1e6:.1f}",
        minutes=f"{facts['minutes']:.0f}",
        speed=f"{facts['tokens'] / facts['minutes'] / 60:,.0f}",
        first_bits=losses[0]["held_out_bits_per_character"],
        last_bits=losses[-1]["held_out_bits_per_character"],
        last_loss=losses[-1]["train_loss"],
        total_mb=f"{sum(source['train_mb'] for source in sources):.1f}",
        written_mb=f"{written:.1f}",
        cycles=cycles(facts, losses, sources),
        threads=facts["threads"],
        data=data_table(sources, facts["bits"]),
        samples=samples(folder),
        top_k=TOP_K,
        seed=SEED,
    )


def replace_embedded(folder: Path) -> None:
    """Replace each file of models/embedded/ atomically."""
    EMBEDDED.mkdir(exist_ok=True)
    for path in folder.iterdir():
        os.replace(path, EMBEDDED / path.name)
    folder.rmdir()


def main() -> None:
    """Copy the run and write its card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    parser.add_argument("--run", default="run", help="name of the run's folder below WORK")
    args = parser.parse_args()
    torch.set_num_threads(1)
    folder = stage(args.work / args.run)
    draw_losses(folder / "loss_curve.png", list(csv.DictReader((folder / "losses.csv").open())))
    (folder / "README.md").write_text(card(args.work, args.work / args.run, folder))
    replace_embedded(folder)
    print(f"{EMBEDDED}: {sum(path.stat().st_size for path in EMBEDDED.iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
