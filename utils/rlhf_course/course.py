"""List the parts of the course and their exercises."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rlhf_course.errors import CourseError

ALL_PARTS = "all"


@dataclass(frozen=True)
class Exercise:
    """An exercise: its symbol, its file and notebook, and its points, difficulty and duration.

    Attributes:
        name: The symbol that the part's package exports; unique in the whole course.
        notebook: The stem of the notebook that teaches it.
        points: The points of its hidden tests together.
        difficulty, importance: A number from 1 to 5.
        minutes: How long a prepared learner needs, as (least, most).
        stem: The name of the module that holds the answer, if it is not the exercise's name.
        uses: Exercises whose functions the answer calls. They have to pass before it is checked, and the reference
            answers them when it is graded.
        part: The name of the part that it belongs to; `Part` sets it.
    """

    name: str
    notebook: str
    points: float
    difficulty: int
    importance: int
    minutes: tuple[int, int]
    stem: str = ""
    uses: tuple[str, ...] = ()
    part: str = ""

    @property
    def module(self) -> str:
        """The name of the module in the part's package that holds the answer."""
        return self.stem or self.name

    @property
    def file(self) -> str:
        """The path of the answer's file below the part's folder."""
        return f"{self.module}.py"

    @property
    def path(self) -> str:
        """The path of the answer's file with the part's folder, such as "part1_rlhf/value_head.py"."""
        return f"{self.part}/{self.file}"

    @property
    def qualified_module(self) -> str:
        """The name under which Python imports the answer's module, such as "part1_rlhf.value_head"."""
        return f"{self.part}.{self.module}"

    @property
    def minutes_text(self) -> str:
        """The minutes as a table shows them: "10-15", or "5" if both numbers are the same."""
        return "-".join(str(minute) for minute in dict.fromkeys(self.minutes))

    def as_json(self) -> dict[str, Any]:
        """Return the exercise as `rlhf-course exercises --json` prints it."""
        fields = asdict(self)
        del fields["stem"], fields["uses"]
        return {"name": fields.pop("name"), "part": fields.pop("part"), "file": self.file, **fields}


@dataclass(frozen=True)
class Part:
    """A part of the course, which can be taken, released and graded alone.

    Attributes:
        name: The name of its package and of its folders.
        title: The title that learners read.
        notebooks: The numbers of its notebooks.
        exercises: The exercises, in the order in which they are taught.
        trainer: The exercise that trains, which a learner's own run needs; None where the part has none.
    """

    name: str
    title: str
    notebooks: tuple[int, ...]
    exercises: tuple[Exercise, ...]
    trainer: str | None = None

    def __post_init__(self) -> None:
        named = tuple(replace(exercise, part=self.name) for exercise in self.exercises)
        object.__setattr__(self, "exercises", named)

    @property
    def points(self) -> float:
        """The points of all exercises of the part together."""
        return sum(exercise.points for exercise in self.exercises)

    @property
    def needed_to_train(self) -> tuple[Exercise, ...]:
        """The exercises up to the trainer, which a run of the part needs; none where the part has no trainer."""
        names = [exercise.name for exercise in self.exercises]
        return () if self.trainer is None else self.exercises[: names.index(self.trainer) + 1]

    def has_notebook(self, stem: str) -> bool:
        """Return whether a notebook belongs to the part, given the stem of its file, such as "03_value_head"."""
        number = stem.partition("_")[0]
        return number.isdigit() and int(number) in self.notebooks


_USED_BY_THE_TRAINER = (
    "HookedTransformerWithValueHead",
    "normalize_reward",
    "compute_advantages",
    "calc_kl_penalty",
    "calc_entropy_bonus",
    "get_logprobs",
    "get_optimizer",
)
_USED_BY_GRPO = (
    "completion_mask",
    "group_advantages",
    "rloo_advantages",
    "grpo_clip_loss",
    "aggregate_loss",
)
PARTS = (
    Part(
        name="part1_rlhf",
        title="RLHF with a value head",
        notebooks=tuple(range(1, 10)),
        trainer="RLHFTrainer",
        exercises=(
            Exercise("HookedTransformerWithValueHead", "03_value_head", 10, 3, 4, (15, 25), stem="value_head"),
            Exercise("reward_fn_char_count", "04_sampling_and_rewards", 4, 1, 2, (5, 10)),
            Exercise("normalize_reward", "04_sampling_and_rewards", 4, 1, 2, (5, 5)),
            Exercise("compute_advantages", "05_advantages_and_memory", 8, 2, 3, (10, 20)),
            Exercise("calc_kl_penalty", "06_objective", 8, 2, 3, (10, 15)),
            Exercise("calc_entropy_bonus", "06_objective", 6, 2, 3, (10, 10)),
            Exercise("get_logprobs", "06_objective", 8, 2, 3, (10, 15)),
            Exercise("get_optimizer", "07_optimizer", 8, 3, 3, (10, 15)),
            Exercise("RLHFTrainer", "08_training", 20, 5, 5, (40, 60), stem="trainer", uses=_USED_BY_THE_TRAINER),
            Exercise("reward_fn_sentiment_imdb", "09_sentiment", 10, 4, 4, (30, 50)),
        ),
    ),
    Part(
        name="part2_preferences",
        title="Learning from preferences",
        notebooks=(10, 11, 12, 13),
        exercises=(
            Exercise("bradley_terry_loss", "10_preferences", 8, 2, 4, (10, 15)),
            Exercise("reward_accuracy", "10_preferences", 4, 1, 2, (5, 5)),
            Exercise("RewardModel", "11_reward_model", 14, 3, 5, (20, 30), stem="reward_model"),
            Exercise("normalize_rewards", "11_reward_model", 6, 1, 3, (5, 10)),
            Exercise("best_of_n", "12_following_it_too_far", 4, 1, 3, (5, 10)),
            Exercise("best_of_n_kl", "12_following_it_too_far", 4, 2, 3, (10, 10)),
            Exercise("sequence_logprobs", "13_dpo", 10, 2, 4, (10, 15)),
            Exercise("dpo_loss", "13_dpo", 12, 3, 5, (15, 20)),
        ),
    ),
    Part(
        name="part3_policy_gradients",
        title="Critics, groups and rewards that can be checked",
        notebooks=(14, 15, 16, 17),
        exercises=(
            Exercise("compute_gae", "14_critics", 10, 3, 4, (15, 20)),
            Exercise("kl_estimate", "14_critics", 6, 2, 4, (15, 15)),
            Exercise("completion_mask", "15_fine_tuning", 6, 2, 4, (10, 15)),
            Exercise("sft_loss", "15_fine_tuning", 8, 2, 4, (10, 15)),
            Exercise("verify_sorted", "16_verifiers", 6, 2, 4, (15, 15)),
            Exercise("group_advantages", "17_groups", 8, 2, 4, (10, 15)),
            Exercise("rloo_advantages", "17_groups", 4, 2, 3, (10, 10)),
            Exercise("grpo_clip_loss", "17_groups", 8, 3, 4, (15, 20)),
            Exercise("aggregate_loss", "17_groups", 8, 3, 4, (15, 20)),
            Exercise("GRPOTrainer", "17_groups", 16, 4, 5, (30, 45), stem="grpo_trainer", uses=_USED_BY_GRPO),
        ),
    ),
)
PARTS_BY_NAME = {part.name: part for part in PARTS}
DEFAULT_PART = PARTS[0]
EXERCISES = tuple(exercise for part in PARTS for exercise in part.exercises)
BY_NAME = {exercise.name: exercise for exercise in EXERCISES}


def part_of(exercise: Exercise) -> Part:
    """Return the part that an exercise belongs to."""
    return PARTS_BY_NAME[exercise.part]


def left_out_of(part: Part) -> tuple[Exercise, ...]:
    """Return the exercises of the list that a course's part lacks."""
    names = {exercise.name for exercise in part.exercises}
    return tuple(exercise for exercise in PARTS_BY_NAME[part.name].exercises if exercise.name not in names)


def select_parts(names: Sequence[str] | None, option: str = "--part") -> tuple[Part, ...]:
    """Return the parts that a command line names, in the course's order; the first part if it names none.

    Args:
        names: The names of parts, or "all".
        option: The option that takes the names, for the message.

    Raises:
        CourseError: There is no part of such a name.
    """
    if not names:
        return (DEFAULT_PART,)
    if unknown := [name for name in names if name not in PARTS_BY_NAME and name != ALL_PARTS]:
        known = ", ".join([*PARTS_BY_NAME, ALL_PARTS])
        raise CourseError(f"{option} takes {known}, got {', '.join(unknown)}")
    return PARTS if ALL_PARTS in names else tuple(part for part in PARTS if part.name in names)
