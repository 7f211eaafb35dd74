"""Hidden tests of `RLHFTrainer`, which test each of its three methods alone, with the reference's other functions.

The expected contents of a rollout are computed from the tokens that it sampled, with models of known weights.
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
HEAD = [0.3 * normal(*shape, seed=930 + index) for index, shape in enumerate([[96, 24], [96], [1, 96], [1]])]
REWARDS = torch.tensor([3.0, 0.0, 11.0, 1.0, 6.0, 2.0])
SETTINGS = {
    "prefix": "This is",
    "gen_len": GEN,
    "batch_size": 6,
    "num_minibatches": 3,
    "total_phases": 9,
    "warmup_steps": 0,
}


# Expected values.


@cache
def policy_model():
    """Return the policy, an instance of the reference's class."""
    reference_answers()  # after this, `imported_answer` returns the reference's class
    model = imported_answer("HookedTransformerWithValueHead").from_pretrained(gpt2_folder(), device="cpu")
    with torch.no_grad():
        for parameter, weights in zip(model.get_value_head_params(), HEAD, strict=True):
            parameter.copy_(weights)
    shift(model.get_base_model_trainable_params(), NOISE)
    return model


@torch.no_grad()
def policy(input_ids):
    """Return the policy's logits and values, in double precision."""
    logits, values = policy_model().forward_with_value_head(input_ids)
    return logits.double(), values.double()


@cache
def pretrained():
    """Return the reference model and its tokenizer, loaded with Hugging Face's own code."""
    from transformers import AutoTokenizer, GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(gpt2_folder()).eval(), AutoTokenizer.from_pretrained(gpt2_folder())


def chosen(tensor):
    """Return the positions from which the generated tokens were chosen."""
    return tensor[:, -GEN - 1 : -1]


def logprobs_of(logits, input_ids):
    """Return the log-probability of each generated token."""
    return chosen(logits).log_softmax(-1).gather(-1, input_ids[:, -GEN:, None])[..., 0]


def normalized(reward):
    """Return the right normalised rewards: two definitions of the deviation, and eps outside or below the root."""
    reward = reward.double()
    centred = reward - reward.mean()
    return [
        centred / deviation
        for correction in (1, 0)
        for deviation in (reward.std(correction=correction) + 1e-5, (reward.var(correction=correction) + 1e-5).sqrt())
    ]


# The objective.

COEFFICIENTS = (
    {"kl_coef": 0.9, "ent_coef": 0.31, "vf_coef": 0.6, "clip_coef": 0.2},
    {"kl_coef": 0.2, "ent_coef": 1.3, "vf_coef": 0.05, "clip_coef": 0.5, "prepend_bos": False},
)


@cache
def minibatch(index):
    """Return a minibatch whose log-probabilities differ from the present policy's, in both directions."""
    texts, prefix_len = 3 + index, 3 - index
    seq = prefix_len + GEN
    sample_ids = integers(0, 37, texts, seq, seed=940 + index)
    return {
        "sample_ids": sample_ids,
        "logprobs": (
            logprobs_of(policy(sample_ids)[0], sample_ids) + 0.4 * normal(texts, GEN, seed=941 + index)
        ).float(),
        "advantages": normal(texts, GEN, seed=942 + index),
        "returns": 2 * normal(texts, GEN, seed=943 + index),
        "ref_logits": normal(texts, seq, 37, seed=944 + index),
    }


@cache
def expected_terms(index):
    """Return the four terms of the objective with their signs, computed in double precision."""
    settings, batch = COEFFICIENTS[index], minibatch(index)
    batch = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in batch.items()}
    logits, values = policy(batch["sample_ids"])
    ratio = (logprobs_of(logits, batch["sample_ids"]) - batch["logprobs"]).exp()
    advantages = (batch["advantages"] - batch["advantages"].mean()) / (batch["advantages"].std() + 1e-8)
    clipped = ratio.clip(1 - settings["clip_coef"], 1 + settings["clip_coef"])
    new, ref = chosen(logits).log_softmax(-1), chosen(batch["ref_logits"]).log_softmax(-1)
    return {
        "clipped surrogate": torch.minimum(ratio * advantages, clipped * advantages).mean(),
        "value loss": -0.5 * settings["vf_coef"] * (chosen(values) - batch["returns"]).pow(2).mean(),
        "entropy bonus": -settings["ent_coef"] * (new.exp() * new).sum(-1).mean(),
        "KL penalty": -settings["kl_coef"] * (new.exp() * (new - ref)).sum(-1).mean(),
    }


def likely_reason(got, terms):
    """Return a missing term or a wrong sign that explains the objective; else a description of the right one."""
    wanted = sum(terms.values())
    if isinstance(got, torch.Tensor) and got.numel() == 1:
        for name, term in terms.items():
            for factor, mistake in ((1, "is missing"), (2, "has the other sign")):
                if torch.allclose(got.detach().double(), wanted - factor * term, rtol=1e-5, atol=1e-5):
                    return f"it looks as if the {name} {mistake}"
    return (
        "it is clipped surrogate - value loss + entropy bonus - KL penalty, each with its coefficient from the "
        "settings, over the positions from which the generated tokens were chosen"
    )


@lru_cache(maxsize=2)
def objective(trainer, index):
    return trainer.objective(settings={**SETTINGS, **COEFFICIENTS[index]}, minibatch=minibatch(index), head=HEAD)


@cache
def reference_gradients():
    return objective.__wrapped__(reference_answers().answer("RLHFTrainer"), 0)["gradients"]


@pytest.mark.points(4)
def test_the_objective_is_surrogate_minus_value_loss_plus_bonus_minus_penalty(RLHFTrainer):
    for index in range(len(COEFFICIENTS)):
        got, terms = objective(RLHFTrainer, index)["objective"], expected_terms(index)
        expect(
            got, sum(terms.values()), "The objective of a minibatch", likely_reason(got, terms), rtol=1e-3, atol=1e-4
        )


@pytest.mark.points(3)
def test_the_gradient_of_the_objective_reaches_the_policy_and_its_value_head(RLHFTrainer):
    got, wanted = objective(RLHFTrainer, 0)["gradients"], reference_gradients()
    for part, name in (("head", "the value head"), ("base", "the transformer")):
        reached = got[part].numel() == wanted[part].numel()
        assert reached, f"The objective's gradient does not reach all of {name}: compute it with gradients"
        reason = "every term but the reference's logits and what the minibatch holds passes its gradient on"
        expect(got[part], wanted[part], f"The gradient of the objective at {name}", reason, rtol=1e-3, atol=1e-4)


# The rollout.


@lru_cache(maxsize=3)
def rollout(trainer, **settings):
    """Run a rollout, and check the types and sizes in its memory.

    Returns:
        The driver's report, the sampled ids, and the policy's logits and values of them.
    """
    rewards = REWARDS.repeat(settings.get("batch_size", 6) // 6)
    report = trainer.rollout(
        settings={**SETTINGS, "normalize_reward": False, "top_k": 9, **settings}, rewards=rewards, head=HEAD
    )
    for name in ("sample_ids", "logprobs", "advantages", "values", "ref_logits"):
        problem = f"its {name} is missing ({known_class_name(report['memory'])} came)"
        assert isinstance(report[name], torch.Tensor), f"rollout_phase should return a ReplayMemory; {problem}"
    ids = report["sample_ids"]
    prompt = 2 + settings.get("prepend_bos", True)
    assert tuple(ids.shape) == (len(rewards), prompt + GEN), (
        "A rollout should hold batch_size texts, each of the prompt and gen_len tokens"
    )
    assert ids.dtype == torch.long and int(ids.min()) >= 0 and int(ids.max()) < 37, "sample_ids should hold token ids"
    return report, ids, *policy(ids)


@pytest.mark.points(2)
def test_a_rollout_remembers_logprobs_values_and_reference_logits_of_its_texts(RLHFTrainer):
    report, ids, logits, values = rollout(RLHFTrainer)
    with torch.no_grad():
        ref_logits = pretrained()[0](ids).logits
    expect(
        report["logprobs"],
        logprobs_of(logits, ids),
        "What the memory holds as logprobs",
        "they are those of the policy that sampled, for the generated tokens",
        atol=1e-3,
    )
    expect(
        report["values"],
        values,
        "What the memory holds as values",
        "they are the value head's, at every position",
        rtol=1e-3,
        atol=1e-3,
    )
    expect(
        report["ref_logits"],
        ref_logits,
        "What the memory holds as ref_logits",
        "they are the reference model's, at every position",
        rtol=1e-3,
        atol=1e-3,
    )
    differences = values[:, -GEN:-1] - values[:, -GEN - 1 : -2]
    expect(
        report["advantages"][:, :-1],
        differences,
        "The advantage before the last token",
        "it is the value of the next state minus that of the state",
        atol=1e-3,
    )


@pytest.mark.points(1)
def test_rewards_are_used_as_they_are_where_no_normalising_is_asked_for(RLHFTrainer):
    report, _, _, values = rollout(RLHFTrainer)
    rewards = report["advantages"][:, -1] + values[:, -2]
    reason = "the last advantage is made from the reward as it came: args.normalize_reward is False"
    expect(rewards, REWARDS, "With normalize_reward=False, the reward in the advantages", reason, rtol=1e-3, atol=1e-3)


@pytest.mark.points(1.5)
def test_rewards_are_normalised_where_it_is_asked_for_and_stay_raw_for_the_log(RLHFTrainer):
    report, _, _, values = rollout(RLHFTrainer, normalize_reward=True, temperature=1e-4)
    rewards = report["advantages"][:, -1] + values[:, -2]
    reason = "the last advantage is made from the normalised reward: args.normalize_reward is True"
    expect(
        rewards,
        normalized(REWARDS),
        "With normalize_reward=True, the reward in the advantages",
        reason,
        rtol=1e-3,
        atol=1e-3,
    )
    expect(
        report["rewards"],
        REWARDS,
        "The raw reward after a rollout",
        "it was normalised in place, and is logged as it came",
    )


@pytest.mark.points(1)
def test_nothing_in_a_rollout_carries_a_gradient(RLHFTrainer):
    report, ids, logits, _ = rollout(RLHFTrainer)
    expect(
        report["logprobs"],
        logprobs_of(logits, ids),
        "What the memory holds as logprobs",
        "they are those of the policy that sampled",
        atol=1e-3,
    )
    carrying = [
        name for name in ("logprobs", "advantages", "values", "ref_logits", "returns") if name in report["carrying"]
    ]
    assert not report["carrying"], (
        f"What the memory holds carries a gradient ({', '.join(carrying)}): a rollout runs under torch.no_grad()"
    )


@pytest.mark.points(0.5)
def test_the_reward_is_asked_of_the_whole_texts(RLHFTrainer):
    report, ids, _, _ = rollout(RLHFTrainer)
    texts = pretrained()[1].batch_decode(ids)
    assert report["texts"], "The reward function was never called: self.reward(samples) calls it"
    for rewarded in report["texts"]:
        assert rewarded == texts, (
            "The reward function should be given the sampled texts in their order, each whole, prompt included"
        )


@pytest.mark.points(1)
def test_top_k_is_the_settings(RLHFTrainer):
    _, ids, logits, _ = rollout(RLHFTrainer, batch_size=48, top_k=2, prefix="This story", prepend_bos=False)
    logits = chosen(logits)
    picked = logits.gather(-1, ids[:, -GEN:, None])[..., 0]
    best = logits.topk(2, dim=-1).values
    assert bool((picked >= best[..., 1] - 1e-3).all()), (
        "With top_k=2 only the policy's two likeliest tokens may be sampled; others were sampled too"
    )
    second = bool((picked < best[..., 0] - 1e-3).any())
    assert second, "With top_k=2 the policy's second likeliest token should be sampled at times; it never was"


@pytest.mark.points(1)
def test_the_temperature_is_the_settings_and_the_policy_is_sampled(RLHFTrainer):
    _, ids, logits, _ = rollout(RLHFTrainer, normalize_reward=True, temperature=1e-4)
    logits = chosen(logits)
    picked = logits.gather(-1, ids[:, -GEN:, None])[..., 0]
    reason = (
        "With a temperature near zero the policy's likeliest token should be sampled each time; others were sampled too"
    )
    assert bool((picked >= logits.max(-1).values - 5e-3).all()), reason


@pytest.mark.points(1)
def test_the_prompt_is_the_settings(RLHFTrainer):
    report, ids, logits, _ = rollout(RLHFTrainer, batch_size=48, top_k=2, prefix="This story", prepend_bos=False)
    wanted = torch.tensor([VOCABULARY.index("This"), VOCABULARY.index(" story")])
    same = bool((ids[:, :2] == wanted).all())
    assert same, "Each text should start with the settings' prefix (args.prefix, args.prepend_bos); another prompt came"
    expect(
        report["logprobs"],
        logprobs_of(logits, ids),
        "What the memory holds as logprobs of texts without a beginning-of-sequence token",
        "they are those of the generated tokens",
        atol=1e-3,
    )


# Learning.

RATES = {"base_lr": 0.01, "head_lr": 0.03}
UNCLIPPED = {**SETTINGS, **RATES, "max_grad_norm": 1e9}
RUNS = {
    "passes": {
        "settings": UNCLIPPED,
        "slopes": [30.0, 0.01, 4.0, 200.0, 1.0, 7.0],
        "offsets": [1.0, 4.0, 0.0, -2.0, 3.0, 1.0],
    },
    "clipped": {"settings": {**UNCLIPPED, "max_grad_norm": 1e-7}, "slopes": [2.0], "offsets": [1.0]},
    "phases": {"settings": UNCLIPPED, "slopes": [3.0, 20.0], "offsets": [2.0, -7.0], "phases": 2},
}
LOOP = "for each minibatch: zero_grad, the objective, backward, clip, step"


@lru_cache(maxsize=3)
def learning(trainer, run):
    return trainer.learning(**RUNS[run], head=HEAD)["phases"]


@cache
def reference_learning(run):
    return learning.__wrapped__(reference_answers().answer("RLHFTrainer"), run)


def expect_moved(trainer, run, phase, subject, reason):
    """Compare the change of the parameters by the end of a phase with the reference's."""
    report, wanted = learning(trainer, run)[phase], reference_learning(run)[phase]
    minibatches = list(dict.fromkeys(report["minibatches"]))
    assert minibatches == wanted["minibatches"], (
        "The objective should be computed of every minibatch of the memory, in order"
    )
    for (part, name), rate in zip(
        {"base": "the transformer", "head": "the value head"}.items(), RATES.values(), strict=True
    ):
        # The changes are compared in units of the learning rate.
        expect(
            report["moved"][part] / rate,
            wanted["moved"][part] / rate,
            f"{subject} {name}",
            reason,
            rtol=1e-3,
            atol=2e-3,
        )


@pytest.mark.points(1)
def test_each_minibatch_of_every_pass_is_learnt_from(RLHFTrainer):
    expect_moved(RLHFTrainer, "passes", 0, "After a learning phase of two passes, the way of", LOOP)


@pytest.mark.points(1)
def test_the_norm_of_the_whole_gradient_is_clipped(RLHFTrainer):
    reason = "the norm of all gradients together is clipped to args.max_grad_norm before the step"
    expect_moved(RLHFTrainer, "clipped", 0, "With a small max_grad_norm, the way of", reason)


@pytest.mark.points(1)
def test_the_schedule_moves_on_once_a_phase_after_learning(RLHFTrainer):
    phases = learning(RLHFTrainer, "phases")
    for count, report in enumerate(phases, start=1):
        wanted = torch.tensor(list(RATES.values())) * lr_factor(count, 0, 9, 0.1)
        subject = f"The learning rate after {'one phase' if count == 1 else 'two phases'} of two minibatches each"
        expect(
            torch.tensor(report["rates"]),
            wanted,
            subject,
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
    expect_moved(RLHFTrainer, "phases", 0, "After one phase, the way of", LOOP)
    steps = [report["step"] for report in phases]
    assert steps == [2, 4], "self.step should grow by one with each step of the optimizer, one for each minibatch"


@pytest.mark.points(0.5)
def test_the_mean_objective_is_returned(RLHFTrainer):
    got, wanted = learning(RLHFTrainer, "phases")[0]["result"], reference_learning("phases")[0]["result"]
    kind = "nothing" if got is None else "something else"
    assert isinstance(got, int | float | torch.Tensor), f"learning_phase should return the mean objective; {kind} came"
    got = got.reshape(-1) if isinstance(got, torch.Tensor) and got.numel() == 1 else torch.as_tensor(got).reshape(-1)
    expect(
        got.float(),
        torch.tensor([wanted]),
        "What learning_phase returns",
        "it is the mean of the objectives of all minibatches",
        rtol=1e-3,
    )
