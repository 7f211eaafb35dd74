"""Hidden tests of `RLHFTrainer`: each of its three methods by itself, beside the reference's other functions.

What a rollout holds is worked out anew from the tokens that it sampled, with a policy and a reference of known weights.
"""

from functools import cache, lru_cache

import pytest
import torch

from rlhf_course.checks.core import integers, normal
from rlhf_course.checks.tiny import VOCABULARY, gpt2_folder
from rlhf_course.grading.drivers.part1_rlhf.trainer import NOISE
from rlhf_course.grading.drivers.plain import shift
from rlhf_course.grading.judge.expect import expect
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.grading.sandbox.serialization import known_class_name
from rlhf_course.learner_package import imported_answer
from rlhf_course.rl.schedule import lr_factor

GEN = 5
HEAD = [0.3 * normal(*shape, seed=930 + number) for number, shape in enumerate([[96, 24], [96], [1, 96], [1]])]
RAW = torch.tensor([3.0, 0.0, 11.0, 1.0, 6.0, 2.0])
USUAL = {
    "prefix": "This is",
    "gen_len": GEN,
    "batch_size": 6,
    "num_minibatches": 3,
    "total_phases": 9,
    "warmup_steps": 0,
}


# What is wanted.


@cache
def policy_model():
    """The policy, made of the reference's class."""
    reference_answers()  # which makes `part1_rlhf` the reference's
    model = imported_answer("HookedTransformerWithValueHead").from_pretrained(gpt2_folder(), device="cpu")
    with torch.no_grad():
        for parameter, numbers in zip(model.get_value_head_params(), HEAD, strict=True):
            parameter.copy_(numbers)
    shift(model.get_base_model_trainable_params(), NOISE)
    return model


@torch.no_grad()
def policy(input_ids):
    """The policy's logits and values."""
    logits, values = policy_model().forward_with_value_head(input_ids)
    return logits.double(), values.double()


@cache
def pretrained():
    """The reference model, and its tokenizer, by Hugging Face's own code."""
    from transformers import AutoTokenizer, GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(gpt2_folder()).eval(), AutoTokenizer.from_pretrained(gpt2_folder())


def chosen(tensor):
    """The positions that chose the generated tokens."""
    return tensor[:, -GEN - 1 : -1]


def logprobs_of(logits, input_ids):
    """The log-probability of each generated token."""
    return chosen(logits).log_softmax(-1).gather(-1, input_ids[:, -GEN:, None])[..., 0]


def normalized(reward):
    """What a normalised reward may be: with or without Bessel's correction, eps outside or below the root."""
    reward = reward.double()
    centred = reward - reward.mean()
    return [
        centred / one
        for correction in (1, 0)
        for one in (reward.std(correction=correction) + 1e-5, (reward.var(correction=correction) + 1e-5).sqrt())
    ]


# The objective.

COEFFICIENTS = (
    {"kl_coef": 0.9, "ent_coef": 0.31, "vf_coef": 0.6, "clip_coef": 0.2},
    {"kl_coef": 0.2, "ent_coef": 1.3, "vf_coef": 0.05, "clip_coef": 0.5, "prepend_bos": False},
)


@cache
def minibatch(number):
    """A minibatch that the policy, by now, finds more and less likely than it once did."""
    texts, prefix_len = 3 + number, 3 - number
    seq = prefix_len + GEN
    sample_ids = integers(0, 37, texts, seq, seed=940 + number)
    return {
        "sample_ids": sample_ids,
        "logprobs": (
            logprobs_of(policy(sample_ids)[0], sample_ids) + 0.4 * normal(texts, GEN, seed=941 + number)
        ).float(),
        "advantages": normal(texts, GEN, seed=942 + number),
        "returns": 2 * normal(texts, GEN, seed=943 + number),
        "ref_logits": normal(texts, seq, 37, seed=944 + number),
    }


@cache
def terms_by_hand(number):
    """The four terms with their signs, in double precision."""
    settings, held = COEFFICIENTS[number], minibatch(number)
    held = {name: one.double() if one.is_floating_point() else one for name, one in held.items()}
    logits, values = policy(held["sample_ids"])
    ratio = (logprobs_of(logits, held["sample_ids"]) - held["logprobs"]).exp()
    advantages = (held["advantages"] - held["advantages"].mean()) / (held["advantages"].std() + 1e-8)
    clipped = ratio.clip(1 - settings["clip_coef"], 1 + settings["clip_coef"])
    new, ref = chosen(logits).log_softmax(-1), chosen(held["ref_logits"]).log_softmax(-1)
    return {
        "clipped surrogate": torch.minimum(ratio * advantages, clipped * advantages).mean(),
        "value loss": -0.5 * settings["vf_coef"] * (chosen(values) - held["returns"]).pow(2).mean(),
        "entropy bonus": -settings["ent_coef"] * (new.exp() * new).sum(-1).mean(),
        "KL penalty": -settings["kl_coef"] * (new.exp() * (new - ref)).sum(-1).mean(),
    }


def likely_reason(got, terms):
    """What became of one term, where that explains a wrong objective."""
    wanted = sum(terms.values())
    if isinstance(got, torch.Tensor) and got.numel() == 1:
        for name, term in terms.items():
            for taken, what in ((1, "is missing"), (2, "has the other sign")):
                if torch.allclose(got.detach().double(), wanted - taken * term, rtol=1e-5, atol=1e-5):
                    return f"it looks as if the {name} {what}"
    return (
        "it is clipped surrogate - value loss + entropy bonus - KL penalty, each with its coefficient from the settings, over the "
        "positions that chose the generated tokens"
    )


@lru_cache(maxsize=2)
def objective(trainer, number):
    return trainer.objective(settings={**USUAL, **COEFFICIENTS[number]}, minibatch=minibatch(number), head=HEAD)


@cache
def wanted_gradients():
    return objective.__wrapped__(reference_answers().answer("RLHFTrainer"), 0)["gradients"]


@pytest.mark.points(4)
def test_the_objective_is_surrogate_minus_value_loss_plus_bonus_minus_penalty(RLHFTrainer):
    for number in range(len(COEFFICIENTS)):
        got, terms = objective(RLHFTrainer, number)["objective"], terms_by_hand(number)
        expect(
            got, sum(terms.values()), "The objective of a minibatch", likely_reason(got, terms), rtol=1e-3, atol=1e-4
        )


@pytest.mark.points(3)
def test_the_gradient_of_the_objective_reaches_the_policy_and_its_value_head(RLHFTrainer):
    got, wanted = objective(RLHFTrainer, 0)["gradients"], wanted_gradients()
    for part, name in (("head", "the value head"), ("base", "the transformer")):
        reached = got[part].numel() == wanted[part].numel()
        assert reached, f"The objective's gradient does not reach all of {name}: compute it with gradients"
        why = "every term but the reference's logits and what the minibatch holds passes its gradient on"
        expect(got[part], wanted[part], f"The gradient of the objective at {name}", why, rtol=1e-3, atol=1e-4)


# The rollout.


@lru_cache(maxsize=3)
def rollout(trainer, **settings):
    """A rollout, once it is known to hold what a memory should."""
    rewards = RAW.repeat(settings.get("batch_size", 6) // 6)
    seen = trainer.rollout(
        settings={**USUAL, "normalize_reward": False, "top_k": 9, **settings}, rewards=rewards, head=HEAD
    )
    for name in ("sample_ids", "logprobs", "advantages", "values", "ref_logits"):
        came = f"its {name} is missing ({known_class_name(seen['memory'])} came)"
        assert isinstance(seen[name], torch.Tensor), f"rollout_phase should return a ReplayMemory; {came}"
    ids = seen["sample_ids"]
    prompt = 2 + settings.get("prepend_bos", True)
    assert tuple(ids.shape) == (len(rewards), prompt + GEN), (
        "A rollout should hold batch_size texts, each of the prompt and gen_len tokens"
    )
    assert ids.dtype == torch.long and int(ids.min()) >= 0 and int(ids.max()) < 37, "sample_ids should hold token ids"
    return seen, ids, *policy(ids)


@pytest.mark.points(2)
def test_a_rollout_remembers_logprobs_values_and_reference_logits_of_its_texts(RLHFTrainer):
    seen, ids, logits, values = rollout(RLHFTrainer)
    with torch.no_grad():
        ref_logits = pretrained()[0](ids).logits
    expect(
        seen["logprobs"],
        logprobs_of(logits, ids),
        "What the memory holds as logprobs",
        "they are those of the policy that sampled, for the generated tokens",
        atol=1e-3,
    )
    expect(
        seen["values"],
        values,
        "What the memory holds as values",
        "they are the value head's, at every position",
        rtol=1e-3,
        atol=1e-3,
    )
    expect(
        seen["ref_logits"],
        ref_logits,
        "What the memory holds as ref_logits",
        "they are the reference model's, at every position",
        rtol=1e-3,
        atol=1e-3,
    )
    differences = values[:, -GEN:-1] - values[:, -GEN - 1 : -2]
    expect(
        seen["advantages"][:, :-1],
        differences,
        "The advantage before the last token",
        "it is the value of the next state minus that of the state",
        atol=1e-3,
    )


@pytest.mark.points(1)
def test_rewards_are_used_as_they_are_where_no_normalising_is_asked_for(RLHFTrainer):
    seen, _, _, values = rollout(RLHFTrainer)
    rewards = seen["advantages"][:, -1] + values[:, -2]
    why = "the last advantage is made from the reward as it came: args.normalize_reward is False"
    expect(rewards, RAW, "With normalize_reward=False, the reward in the advantages", why, rtol=1e-3, atol=1e-3)


@pytest.mark.points(1.5)
def test_rewards_are_normalised_where_it_is_asked_for_and_stay_raw_for_the_log(RLHFTrainer):
    seen, _, _, values = rollout(RLHFTrainer, normalize_reward=True, temperature=1e-4)
    rewards = seen["advantages"][:, -1] + values[:, -2]
    why = "the last advantage is made from the normalised reward: args.normalize_reward is True"
    expect(
        rewards, normalized(RAW), "With normalize_reward=True, the reward in the advantages", why, rtol=1e-3, atol=1e-3
    )
    expect(
        seen["rewards"], RAW, "The raw reward after a rollout", "it was normalised in place, and is logged as it came"
    )


@pytest.mark.points(1)
def test_nothing_in_a_rollout_carries_a_gradient(RLHFTrainer):
    seen, ids, logits, _ = rollout(RLHFTrainer)
    expect(
        seen["logprobs"],
        logprobs_of(logits, ids),
        "What the memory holds as logprobs",
        "they are those of the policy that sampled",
        atol=1e-3,
    )
    carrying = [
        name for name in ("logprobs", "advantages", "values", "ref_logits", "returns") if name in seen["carrying"]
    ]
    assert not seen["carrying"], (
        f"What the memory holds carries a gradient ({', '.join(carrying)}): a rollout runs under torch.no_grad()"
    )


@pytest.mark.points(0.5)
def test_the_reward_is_asked_of_the_whole_texts(RLHFTrainer):
    seen, ids, _, _ = rollout(RLHFTrainer)
    texts = pretrained()[1].batch_decode(ids)
    assert seen["texts"], "The reward function was never called: self.reward(samples) calls it"
    for asked in seen["texts"]:
        assert asked == texts, (
            "The reward function should be given the sampled texts in their order, each whole, prompt included"
        )


@pytest.mark.points(1)
def test_top_k_is_the_settings(RLHFTrainer):
    seen, ids, logits, _ = rollout(RLHFTrainer, batch_size=48, top_k=2, prefix="This story", prepend_bos=False)
    logits = chosen(logits)
    picked = logits.gather(-1, ids[:, -GEN:, None])[..., 0]
    best = logits.topk(2, dim=-1).values
    assert bool((picked >= best[..., 1] - 1e-3).all()), (
        "With top_k=2 the policy's two likeliest tokens may be sampled; others were, too"
    )
    second = bool((picked < best[..., 0] - 1e-3).any())
    assert second, "With top_k=2 the policy's second likeliest token should be sampled at times; it never was"


@pytest.mark.points(1)
def test_the_temperature_is_the_settings_and_the_policy_is_sampled(RLHFTrainer):
    seen, ids, logits, _ = rollout(RLHFTrainer, normalize_reward=True, temperature=1e-4)
    logits = chosen(logits)
    picked = logits.gather(-1, ids[:, -GEN:, None])[..., 0]
    why = "With a temperature near zero the policy's likeliest token should be sampled each time; others were, too"
    assert bool((picked >= logits.max(-1).values - 5e-3).all()), why


@pytest.mark.points(1)
def test_the_prompt_is_the_settings(RLHFTrainer):
    seen, ids, logits, _ = rollout(RLHFTrainer, batch_size=48, top_k=2, prefix="This story", prepend_bos=False)
    wanted = torch.tensor([VOCABULARY.index("This"), VOCABULARY.index(" story")])
    same = bool((ids[:, :2] == wanted).all())
    assert same, "Each text should start with the settings' prefix (args.prefix, args.prepend_bos); another prompt came"
    expect(
        seen["logprobs"],
        logprobs_of(logits, ids),
        "What the memory holds as logprobs of texts without a beginning-of-sequence token",
        "they are those of the generated tokens",
        atol=1e-3,
    )


# Learning.

RATES = {"base_lr": 0.01, "head_lr": 0.03}
UNCLIPPED = {**USUAL, **RATES, "max_grad_norm": 1e9}
RUNS = {
    "passes": {
        "settings": UNCLIPPED,
        "slopes": [30.0, 0.01, 4.0, 200.0, 1.0, 7.0],
        "offsets": [1.0, 4.0, 0.0, -2.0, 3.0, 1.0],
    },
    "clipped": {"settings": {**UNCLIPPED, "max_grad_norm": 1e-7}, "slopes": [2.0], "offsets": [1.0]},
    "phases": {"settings": UNCLIPPED, "slopes": [3.0, 20.0], "offsets": [2.0, -7.0], "phases": 2},
}
ASCENT = "for each minibatch: zero_grad, the objective, backward, clip, step"


@lru_cache(maxsize=3)
def learning(trainer, run):
    return trainer.learning(**RUNS[run], head=HEAD)["phases"]


@cache
def wanted_learning(run):
    return learning.__wrapped__(reference_answers().answer("RLHFTrainer"), run)


def expect_moved(trainer, run, phase, what, why):
    """Ask that the parameters are where the reference takes them by the end of a phase."""
    seen, wanted = learning(trainer, run)[phase], wanted_learning(run)[phase]
    asked = list(dict.fromkeys(seen["asked"]))
    assert asked == wanted["asked"], "The objective should be asked of every minibatch of the memory, in order"
    for (part, name), rate in zip(
        {"base": "the transformer", "head": "the value head"}.items(), RATES.values(), strict=True
    ):
        # In units of the learning rate.
        expect(seen["moved"][part] / rate, wanted["moved"][part] / rate, f"{what} {name}", why, rtol=1e-3, atol=2e-3)


@pytest.mark.points(1)
def test_each_minibatch_of_every_pass_is_learnt_from(RLHFTrainer):
    expect_moved(RLHFTrainer, "passes", 0, "After a learning phase of two passes, the way of", ASCENT)


@pytest.mark.points(1)
def test_the_norm_of_the_whole_gradient_is_clipped(RLHFTrainer):
    why = "the norm of all gradients together is clipped to args.max_grad_norm before the step"
    expect_moved(RLHFTrainer, "clipped", 0, "With a small max_grad_norm, the way of", why)


@pytest.mark.points(1)
def test_the_schedule_moves_on_once_a_phase_after_learning(RLHFTrainer):
    phases = learning(RLHFTrainer, "phases")
    for number, seen in enumerate(phases, start=1):
        wanted = torch.tensor(list(RATES.values())) * lr_factor(number, 0, 9, 0.1)
        what = f"The learning rate after {'one phase' if number == 1 else 'two phases'} of two minibatches each"
        expect(
            torch.tensor(seen["rates"]),
            wanted,
            what,
            "the scheduler is stepped once a phase, after its last minibatch",
            atol=0,
        )
    expect_moved(
        RLHFTrainer,
        "phases",
        1,
        "After two phases, the way of",
        "each phase learns at the rate that the schedule has for it",
    )


@pytest.mark.points(0.5)
def test_step_counts_the_optimizers_steps(RLHFTrainer):
    phases = learning(RLHFTrainer, "phases")
    expect_moved(RLHFTrainer, "phases", 0, "After one phase, the way of", ASCENT)
    steps = [seen["step"] for seen in phases]
    assert steps == [2, 4], "self.step should grow by one with each step of the optimizer, one for each minibatch"


@pytest.mark.points(0.5)
def test_the_mean_objective_is_returned(RLHFTrainer):
    got, wanted = learning(RLHFTrainer, "phases")[0]["result"], wanted_learning("phases")[0]["result"]
    came = "nothing" if got is None else "something else"
    assert isinstance(got, int | float | torch.Tensor), f"learning_phase should return the mean objective; {came} came"
    got = got.reshape(-1) if isinstance(got, torch.Tensor) and got.numel() == 1 else torch.as_tensor(got).reshape(-1)
    expect(
        got.float(),
        torch.tensor([wanted]),
        "What learning_phase returns",
        "it is the mean of the objectives of all minibatches",
        rtol=1e-3,
    )
