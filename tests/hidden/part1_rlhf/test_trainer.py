"""Hidden tests of `RLHFTrainer`: each of its three methods alone, and whole phases, with the reference's functions.

What a rollout should hold is computed from the tokens that it sampled, with models whose weights the judge knows. What
learning does is known by the parameters that it leaves.
"""

import re
from functools import cache

import pytest
import torch

from rlhf_course.checks.tiny import BOS, VOCABULARY, gpt2_folder
from rlhf_course.grading.drivers.part1_rlhf.trainer import LINEAR_EPS, MEMORY_TENSORS, NOISE, OTHER_MINIBATCHES
from rlhf_course.grading.drivers.plain import perturb
from rlhf_course.grading.judge.compare import NO_INFERENCE, expect_settings_as_they_were, expect_values
from rlhf_course.grading.judge.local_answers import reference_answers
from rlhf_course.learner_package import imported_answer

VOCAB = len(VOCABULARY)
HEAD_SHAPES = ((96, 24), (96,), (1, 96), (1,))
PARTS = {"base": "the transformer", "head": "the value head"}
# Words that can follow each other in a prompt: the first of them stands without a blank.
FIRST_WORDS, WORDS = ("This", ".", ".."), [word for word in VOCABULARY if word.startswith(" ")]


# What is drawn.


def drawn_weights(draw, sharper=False):
    """Draw the policy's weights, as the drivers take them; a sharper policy prefers its likely tokens more."""
    head = [0.3 * draw.normal(*shape) for shape in HEAD_SHAPES]
    return {
        "head": head,
        "gain": draw.number(1.9, 2.2) if sharper else draw.number(1.3, 1.7),
        "phase": draw.number(0.1, 6.0),
    }


# What is computed from draws alone, for all answers; and what the latest answers did.
WANTED, OBSERVED = {}, {}


def cached(store, key, make):
    """Return what was computed under a key; a store keeps the latest results."""
    if key not in store:
        store[key] = make()
        if len(store) > (16 if store is OBSERVED else 256):
            del store[next(iter(store))]
    return store[key]


def observed(trainer, draw, drive):
    """Return what a driver observed of an answer, which is driven once for all tests that share a draw."""
    return cached(OBSERVED, (id(trainer), draw.key), lambda: (trainer, drive()))[1]


def drawn_prefix(draw, words=2):
    """Draw a prompt of some words, each of which is a token, other than "This is"."""
    others = draw.sample([word for word in WORDS if word != " is"], max(0, words - 1))
    return "".join([draw.choice(FIRST_WORDS), *others]) if words else ""


def drawn_sizes(draw, texts, minibatches, passes=1):
    """Return the settings of a batch, with a seed and a length of run that are drawn."""
    return {
        "seed": draw.integer(2, 2**40),
        "batch_size": texts * minibatches,
        "num_minibatches": minibatches,
        "batches_per_learning_phase": passes,
        "total_phases": draw.integer(12, 20),
        "warmup_steps": 0,
    }


# What is right, computed in double precision from the policy's outputs.


@cache
def judges_model():
    """Return a model of the reference's class, its trainable parameters by part, and the base model's weights."""
    reference_answers()  # after this, `imported_answer` returns the reference's class
    model = imported_answer("HookedTransformerWithValueHead").from_pretrained(gpt2_folder(), device="cpu")
    parts = {"base": model.get_base_model_trainable_params(), "head": model.get_value_head_params()}
    return model, parts, [parameter.detach().clone() for parameter in parts["base"]]


def policy_with(weights):
    """Return the judge's model with the weights that the drivers give to the policy, and its parameters by part."""
    model, parts, pretrained_weights = judges_model()
    with torch.no_grad():
        for parameter, numbers in zip(parts["base"], pretrained_weights, strict=True):
            parameter.copy_(numbers)
        for parameter, numbers in zip(parts["head"], weights["head"], strict=True):
            parameter.copy_(numbers)
    perturb(parts["base"], NOISE, weights["gain"], weights["phase"])
    return model, parts


def outputs(model, input_ids):
    """Return logits and values in double precision."""
    in_single_precision = model.forward_with_value_head(input_ids)
    return tuple(tensor.double() for tensor in in_single_precision)


@cache
def pretrained():
    """Return the reference model and its tokenizer, loaded with Hugging Face's own code."""
    from transformers import AutoTokenizer, GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(gpt2_folder()).eval(), AutoTokenizer.from_pretrained(gpt2_folder())


def prompt_ids(settings):
    """Return the ids of the prompt, each of whose words is a token."""
    words = re.findall(r" ?[^ ]+", settings["prefix"])
    return torch.tensor([VOCABULARY.index(word) for word in [BOS] * settings["prepend_bos"] + words])


def chosen(tensor, gen_len):
    """Return the positions from which the generated tokens were chosen."""
    return tensor[:, -gen_len - 1 : -1]


def logprobs_of(logits, input_ids, gen_len):
    """Return the log-probability of each generated token."""
    return chosen(logits, gen_len).log_softmax(-1).gather(-1, input_ids[:, -gen_len:, None])[..., 0]


def normalized(reward):
    """Return the right normalised rewards: two definitions of the deviation, and eps outside or below the root."""
    centred = reward - reward.mean()
    return [
        centred / deviation
        for correction in (1, 0)
        for deviation in (reward.std(correction=correction) + 1e-5, (reward.var(correction=correction) + 1e-5).sqrt())
    ]


def terms_of(logits, values, batch, settings):
    """Return the four terms of the objective with their signs."""
    gen_len, clip = settings["gen_len"], settings["clip_coef"]
    batch = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in batch.items()}
    ratio = (logprobs_of(logits, batch["sample_ids"], gen_len) - batch["logprobs"]).exp()
    advantages = (batch["advantages"] - batch["advantages"].mean()) / (batch["advantages"].std() + 1e-8)
    clipped = ratio.clip(1 - clip, 1 + clip)
    new, ref = (chosen(tensor, gen_len).log_softmax(-1) for tensor in (logits, batch["ref_logits"]))
    return {
        "clipped surrogate": torch.minimum(ratio * advantages, clipped * advantages).mean(),
        "value loss": -0.5 * settings["vf_coef"] * (chosen(values, gen_len) - batch["returns"]).pow(2).mean(),
        "entropy bonus": -settings["ent_coef"] * (new.exp() * new).sum(-1).mean(),
        "KL penalty": -settings["kl_coef"] * (new.exp() * (new - ref)).sum(-1).mean(),
    }


def gradients_of(total, parts):
    """Return the gradient of a number at the parameters of each part, as vectors."""
    parameters = [parameter for part in parts.values() for parameter in part]
    gradients = iter(torch.autograd.grad(total, parameters, retain_graph=True))
    return {name: torch.cat([next(gradients).flatten() for _ in part]).double() for name, part in parts.items()}


# The objective.

TERMS = {"clipped surrogate": "", "value loss": "vf_coef", "entropy bonus": "ent_coef", "KL penalty": "kl_coef"}
OBJECTIVE = (
    "it is clipped surrogate - value loss + entropy bonus - KL penalty, each with its coefficient from the settings, "
    "over the positions from which the generated tokens were chosen"
)


def drawn_minibatch(draw, settings, model, texts):
    """Draw a minibatch whose log-probabilities differ from the present policy's, in both directions."""
    gen_len = settings["gen_len"]
    sample_ids = torch.cat([prompt_ids(settings).expand(texts, -1), draw.integers(0, VOCAB - 1, texts, gen_len)], dim=1)
    with torch.no_grad():
        logprobs = logprobs_of(outputs(model, sample_ids)[0], sample_ids, gen_len)
    return {
        "sample_ids": sample_ids,
        "logprobs": (logprobs + 0.4 * draw.normal(texts, gen_len)).float(),
        "advantages": draw.normal(texts, gen_len) + draw.number(-1, 1),
        "returns": 2 * draw.normal(texts, gen_len),
        "ref_logits": 1.5 * draw.normal(*sample_ids.shape, VOCAB),
    }


def drawn_objective(draw, words, bos, gen_len, later, **fixed):
    """Draw settings, weights and minibatches.

    Args:
        draw: The source of random values.
        words: The number of words in the prompt.
        bos: Whether it starts with the beginning-of-sequence token.
        gen_len: The number of generated tokens.
        later: Whether to add a second minibatch, and the first one again, both in later phases.
        fixed: Settings that are not drawn.

    Returns:
        The driver's inputs, the terms of each minibatch's objective, and the gradient of the first.
    """
    texts = draw.integer(3, 6)
    settings = {
        **drawn_sizes(draw, texts, minibatches=draw.integer(1, 4), passes=draw.integer(1, 3)),
        "prefix": drawn_prefix(draw, words),
        "prepend_bos": bos,
        "gen_len": gen_len,
        "kl_coef": draw.number(0.3, 2),
        "ent_coef": draw.number(0.2, 1),
        "vf_coef": draw.number(0.1, 0.8),
        "clip_coef": draw.choice([draw.number(0.05, 0.1), draw.number(0.4, 0.6)]),
        "temperature": draw.number(1.5, 3),
        "top_k": draw.integer(3, 30),
        **fixed,
    }
    weights = drawn_weights(draw)
    model, parts = policy_with(weights)
    first, second = (drawn_minibatch(draw, settings, model, texts) for _ in range(2))
    minibatches = [first, second, first] if later else [first]
    terms = [terms_of(*outputs(model, batch["sample_ids"]), batch, settings) for batch in minibatches]
    phases = [0, draw.integer(4, 8), draw.integer(9, 11)][: len(minibatches)]
    inputs = {"settings": settings, "weights": weights, "minibatches": minibatches, "phases": phases}
    gradients = gradients_of(sum(terms[0].values()), parts)
    return inputs, [{name: term.detach() for name, term in own.items()} for own in terms], gradients


def is_telling(inputs, terms):
    """Whether each term, and where the ratio is clipped, makes a difference far above the tolerance."""
    settings = inputs["settings"]
    names = [name for name, coefficient in TERMS.items() if settings.get(coefficient, 1)]
    otherwise = surrogate_clipped_at(0.2, inputs)
    differences = [abs(own[name]) for own in terms for name in names]
    return min(*differences, abs(terms[0]["clipped surrogate"] - otherwise)) > 0.02


@torch.no_grad()
def surrogate_clipped_at(clip_coef, inputs):
    """Return the clipped surrogate of the first minibatch under another clip_coef."""
    model, _ = policy_with(inputs["weights"])
    batch = inputs["minibatches"][0]
    settings = {**inputs["settings"], "clip_coef": clip_coef}
    return terms_of(*outputs(model, batch["sample_ids"]), batch, settings)["clipped surrogate"]


def objective_case(draw, name):
    """Return the drawn inputs, terms and gradient of a case: "ordinary" has a prompt of three tokens."""
    draw = draw.shared(f"objective, {name}")

    def make():
        for number in range(200):
            candidate = draw.numbered(number)
            if name == "ordinary":
                case = drawn_objective(candidate, 2, True, candidate.integer(3, 7), later=True)
            else:
                words, bos = candidate.choice([(0, True), (2, False), (4, True)])
                unused = candidate.choice(["kl_coef", "ent_coef", "vf_coef"])
                case = drawn_objective(candidate, words, bos, candidate.integer(1, 2), later=False, **{unused: 0.0})
            if is_telling(*case[:2]):
                return case
        raise AssertionError("no minibatch was found whose terms can be told apart")

    return cached(WANTED, draw.key, make)


def objective(trainer, draw, name):
    """Return the driver's observation, and the right terms and gradient."""
    inputs, terms, gradients = objective_case(draw, name)
    report = observed(trainer, draw.shared(f"objective, {name}"), lambda: trainer.objective(**inputs))
    return report, terms, gradients


def likely_reason(got, terms):
    """Return a missing term or a wrong sign that explains the objective; else a description of the right one."""
    wanted = sum(terms.values())
    if isinstance(got, torch.Tensor) and got.numel() == 1:
        for name, term in terms.items():
            for factor, mistake in ((1, "is missing"), (2, "has the other sign")):
                same = torch.allclose(got.detach().double().reshape(()), wanted - factor * term, rtol=1e-5, atol=1e-5)
                if same and abs(term) > 1e-3:
                    return f"it looks as if the {name} {mistake}"
    return OBJECTIVE


def expect_objective(got, terms, subject):
    """Require the right objective."""
    expect_values(got, sum(terms.values()), subject, likely_reason(got, terms), rtol=1e-3, atol=1e-4)


@pytest.mark.points(3)
def test_the_objective_is_surrogate_minus_value_loss_plus_bonus_minus_penalty(RLHFTrainer, draw):
    for name, phrase in (("ordinary", "a minibatch"), ("other sizes", "a minibatch of other sizes")):
        report, terms, _ = objective(RLHFTrainer, draw, name)
        expect_objective(report["calls"][0]["objective"], terms[0], f"The objective of {phrase}")


@pytest.mark.points(2)
def test_the_gradient_of_the_objective_reaches_the_policy_and_its_value_head(RLHFTrainer, draw):
    report, _, wanted = objective(RLHFTrainer, draw, "ordinary")
    reason = "every term but the reference's logits and what the minibatch holds passes its gradient on"
    for part in ("head", "base"):
        got = report["gradients"][part]
        reached = got.numel() == wanted[part].numel()
        assert reached, f"The objective's gradient does not reach all of {PARTS[part]}: compute it with gradients"
        subject = f"The gradient of the objective at {PARTS[part]}"
        expect_values(got, wanted[part], subject, reason, rtol=1e-3, atol=1e-3 * float(wanted[part].abs().max()))


@pytest.mark.points(1)
def test_the_objective_is_the_same_in_later_phases_and_leaves_its_minibatch_as_it_was(RLHFTrainer, draw):
    report, terms, _ = objective(RLHFTrainer, draw, "ordinary")
    minibatches = objective_case(draw, "ordinary")[0]["minibatches"]
    for call, own, minibatch in zip(report["calls"], terms, minibatches, strict=True):
        expect_objective(call["objective"], own, "The objective in a first or a later phase")
        for name, tensor in minibatch.items():
            after = call["minibatch"][name]
            same = isinstance(after, torch.Tensor) and torch.equal(after, tensor)
            assert same, f"The objective changed its minibatch's `{name}`: make new tensors"


# The rollout.


def rollout_inputs(draw, name):
    """Return the driver's inputs of a case.

    "raw" makes two rollouts with another temperature than 1, whose rewards are not normalised. "whole" makes two phases
    as in a real run, of one minibatch each, with steps that are proportional to the gradient. "top k" makes one rollout
    of so high a temperature that other tokens than the likeliest are sampled wherever they may be. The texts of "whole"
    start without a beginning-of-sequence token.
    """
    draw = draw.shared(f"rollouts, {name}")

    def make():
        settings = {"raw": raw_settings, "whole": whole_settings, "top k": top_k_settings}[name](draw)
        prefix = drawn_prefix(draw)
        return {
            "settings": {**settings, "prefix": prefix, "prepend_bos": name != "whole"},
            "weights": drawn_weights(draw, sharper=name == "raw"),
            "character_rewards": drawn_character_rewards(draw, [prefix, BOS, BOS + prefix]),
            "count": 1 if name == "top k" else 2,
            "learns": name == "whole",
        }

    return cached(WANTED, draw.key, make)


def drawn_character_rewards(draw, texts):
    """Draw the reward of each character so that leaving one of these texts out changes a reward."""
    for number in range(200):
        rewards = [number / 4 for number in draw.numbered(number).integers(-8, 8, 31).tolist()]
        if all(abs(sum(rewards[ord(char) % len(rewards)] for char in text)) >= 0.5 for text in texts):
            return rewards
    raise AssertionError("no rewards were found under which each of these texts counts")


def top_k_settings(draw):
    """Draw settings under which each of the top_k likeliest tokens is sampled about as often as the others."""
    sizes = drawn_sizes(draw, texts=draw.integer(12, 18), minibatches=4)
    sampling = {"temperature": draw.number(4, 6), "top_k": draw.integer(4, 9)}
    return {**sizes, **sampling, "gen_len": draw.integer(2, 3), "normalize_reward": False}


def raw_settings(draw):
    """Draw settings of rollouts with a low temperature and a small top_k, or with a high one and a larger one."""
    sampling = draw.choice(
        [
            {"temperature": draw.number(0.25, 0.35), "top_k": draw.integer(4, 6)},
            {"temperature": draw.number(4, 6), "top_k": draw.integer(10, 12)},
        ]
    )
    sizes = drawn_sizes(draw, texts=draw.integer(12, 18), minibatches=4)
    return {**sizes, **sampling, "gen_len": draw.integer(3, 4), "normalize_reward": False}


def whole_settings(draw):
    """Draw settings of phases as in a real run, without a schedule."""
    return {
        **drawn_sizes(draw, texts=draw.integer(14, 24), minibatches=1),
        "temperature": 1.0,
        "top_k": 10,
        "gen_len": draw.integer(4, 5),
        "normalize_reward": True,
        "base_lr": draw.number(0.2, 0.6),
        "head_lr": draw.number(0.2, 0.6),
        "final_scale": 1.0,
        "kl_coef": draw.number(0.5, 2.5),
        "ent_coef": draw.number(0.001, 0.1),
        "vf_coef": 0.15,
        "clip_coef": 0.2,
        "max_grad_norm": 1e6,
    }


def rollout_report(trainer, draw, name):
    """Return the driver's observation of a case."""
    inputs = rollout_inputs(draw, name)
    return observed(trainer, draw.shared(f"rollouts, {name}"), lambda: trainer.phases(**inputs))


def rollouts(trainer, draw, name="raw"):
    """Run the rollouts of a case, and check their form.

    Returns:
        The settings; and for each rollout by the policy as it is at first, the observation and the policy's logits and
        values.
    """
    inputs = rollout_inputs(draw, name)
    settings, phases = inputs["settings"], rollout_report(trainer, draw, name)["phases"]
    assert phases, "No rollout came"
    phases = phases[:1] if inputs["learns"] else phases
    assert inputs["learns"] or len(phases) == inputs["count"], "A trainer should be able to make several rollouts"
    return settings, [(phase, *policy_outputs(inputs, checked_ids(phase, settings))) for phase in phases]


def checked_ids(phase, settings):
    """Return the sampled ids of a rollout, after a check of the form of its memory."""
    for name in MEMORY_TENSORS:
        problem = f"rollout_phase should return a ReplayMemory; its {name} is missing"
        assert isinstance(phase[name], torch.Tensor), problem
    ids = phase["sample_ids"]
    shape = (settings["batch_size"], len(prompt_ids(settings)) + settings["gen_len"])
    assert tuple(ids.shape) == shape, "A rollout should hold batch_size texts, each of the prompt and gen_len tokens"
    is_integer = not ids.is_floating_point() and ids.dtype != torch.bool
    assert is_integer and int(ids.min()) >= 0 and int(ids.max()) < VOCAB, "sample_ids should hold token ids"
    return ids.long()


def policy_outputs(inputs, ids):
    """Return the policy's logits and values for texts."""

    @torch.no_grad()
    def make():
        return outputs(policy_with(inputs["weights"])[0], ids)

    return cached(WANTED, (inputs["settings"]["seed"], ids.numpy().tobytes()), make)


def expect_contents(phase, settings, logits, values, subject, names=("logprobs", "values", "ref_logits")):
    """Require that a memory holds what the policy and the reference give for its own texts."""
    ids, gen_len = phase["sample_ids"].long(), settings["gen_len"]
    with torch.no_grad():
        ref_logits = pretrained()[0](ids).logits
    right = {
        "logprobs": (
            logprobs_of(logits, ids, gen_len),
            "they are those of the policy that sampled, at temperature 1 over all tokens, for the generated tokens",
        ),
        "values": (values, "they are the value head's, at every position"),
        "ref_logits": (ref_logits, "they are the reference model's, at every position"),
    }
    for name in names:
        wanted, reason = right[name]
        expect_values(phase[name], wanted, f"{subject} holds as {name}", reason, rtol=1e-3, atol=1e-3)


def rewards_of(inputs, ids):
    """Return the reward of each sampled text."""
    rewards, size = inputs["character_rewards"], len(inputs["character_rewards"])
    texts = pretrained()[1].batch_decode(ids)
    return torch.tensor([sum(rewards[ord(char) % size] for char in text) for text in texts], dtype=torch.float64)


@pytest.mark.points(1.5)
def test_a_rollout_remembers_logprobs_values_and_reference_logits_of_its_texts(RLHFTrainer, draw):
    settings, [(phase, logits, values), _] = rollouts(RLHFTrainer, draw)
    expect_contents(phase, settings, logits, values, "What the memory")
    start = chosen(values, settings["gen_len"])
    reason = "it is the value of the next state minus that of the state"
    subject = "The advantage before the last token"
    wanted = start[:, 1:] - start[:, :-1]
    expect_values(phase["advantages"][:, :-1], wanted, subject, reason, rtol=1e-3, atol=1e-3)


@pytest.mark.points(1)
def test_a_second_rollout_samples_other_texts_and_remembers_what_belongs_to_them(RLHFTrainer, draw):
    settings, [(first, _, _), (second, logits, values)] = rollouts(RLHFTrainer, draw)
    again = torch.equal(first["sample_ids"], second["sample_ids"])
    assert not again, "A second rollout sampled the same texts as the first one, in the same order"
    subject = "What the memory of a second rollout"
    expect_contents(second, settings, logits, values, subject, ("values", "ref_logits"))
    for name, reports in (
        ("rollout_phase", [first]),
        ("learning_phase", learning(RLHFTrainer, draw, "schedule")[0]),
        ("compute_rlhf_objective", objective(RLHFTrainer, draw, "ordinary")[0]["calls"]),
    ):
        for report in reports:
            expect_settings_as_they_were(report, name)
            assert report["args"], f"{name} changes the settings (self.args): a run records and uses them as they were"
            is_seeded = report.get("seeded", False)
            assert not is_seeded, f"{name} seeds torch, so that later rollouts sample with the same random numbers"


def last_rewards(phase, values):
    """Return the rewards from which the last advantages were made."""
    advantages = phase["advantages"]
    assert advantages.dim() == 2 and len(advantages) == len(values), "The memory's advantages have another form"
    return advantages[:, -1].double() + values[:, -2]


@pytest.mark.points(1)
def test_rewards_of_the_whole_texts_are_used_as_they_are_where_no_normalising_is_asked_for(RLHFTrainer, draw):
    _, phases = rollouts(RLHFTrainer, draw)
    for phase, _, values in phases:
        wanted = rewards_of(rollout_inputs(draw, "raw"), phase["sample_ids"])
        reason = "args.normalize_reward is False, and each whole text, prompt included, has its own reward, as it came"
        subject = "With normalize_reward=False, the reward in the last advantages"
        expect_values(last_rewards(phase, values), wanted, subject, reason, rtol=1e-3, atol=1e-3)


@pytest.mark.points(1.5)
def test_rewards_are_normalised_where_it_is_asked_for_and_stay_raw_for_the_log(RLHFTrainer, draw):
    _, [(phase, _, values)] = rollouts(RLHFTrainer, draw, "whole")
    raw = rewards_of(rollout_inputs(draw, "whole"), phase["sample_ids"])
    reason = "the last advantage is made from the normalised reward: args.normalize_reward is True"
    subject = "With normalize_reward=True, the reward in the last advantages"
    expect_values(last_rewards(phase, values), normalized(raw), subject, reason, rtol=1e-3, atol=1e-3)
    if (recorded := phase["recorded"]) is not None:  # else the reward is computed once more for the log
        assert isinstance(recorded, torch.Tensor) and recorded.shape == raw.shape, "The raw reward has another form"
        # A reward of other parts of the texts differs by a constant, and is another test's matter.
        subject, reason = "The raw reward after a rollout", "it is recorded as it came, before it is normalised"
        centred = recorded.double() - recorded.double().mean()
        expect_values(centred, raw - raw.mean(), subject, reason, rtol=1e-3, atol=1e-3)


def ranks(phase, settings, logits):
    """Return the policy's logits in descending order, and the rank of each sampled token."""
    at = chosen(logits, settings["gen_len"])
    picked = at.gather(-1, phase["sample_ids"].long()[:, -settings["gen_len"] :, None])
    ordered = at.sort(descending=True).values
    return ordered, (ordered > picked + 1e-4).sum(-1)


@pytest.mark.points(1)
def test_top_k_is_the_settings(RLHFTrainer, draw):
    settings, phases = rollouts(RLHFTrainer, draw, "top k")
    top_k, least_likely, expected = settings["top_k"], 0, 0.0
    for phase, logits, _ in phases:
        ordered, rank = ranks(phase, settings, logits)
        beyond = bool((rank >= top_k).any())
        assert not beyond, "Only the policy's top_k likeliest tokens may be sampled; others were sampled too"
        least_likely += int((rank == top_k - 1).sum())
        expected += float((ordered[..., :top_k] / settings["temperature"]).softmax(-1)[..., -1].sum())
    assert least_likely or expected < 12, "The last of the policy's top_k likeliest tokens is never sampled"


@pytest.mark.points(1)
def test_the_temperature_is_the_settings_and_the_policy_is_sampled(RLHFTrainer, draw):
    settings, phases = rollouts(RLHFTrainer, draw)
    # Among the likeliest tokens the probabilities do not depend on top_k, unless it is even smaller.
    count, excess, variance = min(settings["top_k"], 10), 0.0, 0.0
    for phase, logits, _ in phases:
        ordered, rank = ranks(phase, settings, logits)
        ordered, is_among = ordered[..., :count], rank < count
        probabilities = (ordered / settings["temperature"]).softmax(-1)
        mean = (probabilities * ordered).sum(-1)
        picked = ordered.gather(-1, rank.clamp(max=count - 1)[..., None])[..., 0]
        excess += float((picked - mean)[is_among].sum())
        variance += float(((probabilities * ordered**2).sum(-1) - mean**2)[is_among].sum())
    deviations = excess / max(variance, 1e-9) ** 0.5
    direction = "often" if deviations > 0 else "seldom"
    assert abs(deviations) < 5, (
        f"The policy's likely tokens are sampled too {direction}: pass args.temperature, and sample the policy"
    )


@pytest.mark.points(1)
def test_the_prompt_is_the_settings(RLHFTrainer, draw):
    for name in ("raw", "whole"):
        settings, phases = rollouts(RLHFTrainer, draw, name)
        wanted = prompt_ids(settings)
        for phase, logits, values in phases:
            same = bool((phase["sample_ids"][:, : len(wanted)] == wanted).all())
            reason = "Each text should start with the settings' prefix (args.prefix, args.prepend_bos); another came"
            assert same, reason
            expect_contents(phase, settings, logits, values, "What the memory", ("values",))


# Whole phases.


def right_way(inputs, phases):
    """Return how far the parameters should move in each phase, after rollouts with these contents.

    Returns:
        For each phase the movement by part, and what it would be if the memory carried gradients.
    """
    settings = inputs["settings"]
    model, parts = policy_with(inputs["weights"])
    rates = {"base": settings["base_lr"], "head": settings["head_lr"]}
    moments = dict.fromkeys(parts, (0.0, 0.0))
    ways = []
    for step, phase in enumerate(phases, start=1):
        terms = whole_terms(model, phase, inputs)
        # Where the memory carries gradients, those of the ratio and of the value loss cancel.
        remaining = terms["entropy bonus"] + terms["KL penalty"]
        if_attached = gradients_of(remaining + 0 * sum(terms.values()), parts)
        way = {}
        for part, gradient in gradients_of(sum(terms.values()), parts).items():
            first, second = moments[part]
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            moments[part] = first, second
            scale = (second / (1 - 0.999**step)).sqrt() + LINEAR_EPS
            way[part] = rates[part] * first / (1 - 0.9**step) / scale
            move(parts[part], way[part])
        ways.append((way, {part: rates[part] * own / (own.abs() + LINEAR_EPS) for part, own in if_attached.items()}))
    return ways


def whole_terms(model, phase, inputs):
    """Return the terms of the objective of a whole rollout by the policy that sampled it."""
    settings, ids = inputs["settings"], phase["sample_ids"].long()
    gen_len = settings["gen_len"]
    logits, values = outputs(model, ids)
    states = chosen(values, gen_len).detach()
    candidates = normalized(rewards_of(inputs, ids))
    used = last_rewards(phase, values.detach())
    rewards = min(candidates, key=lambda rewards: float((rewards - used).abs().sum()))
    advantages = torch.cat([states[:, 1:], rewards[:, None]], dim=1) - states
    with torch.no_grad():
        ref_logits = pretrained()[0](ids).logits
    batch = {
        "sample_ids": ids,
        "logprobs": logprobs_of(logits, ids, gen_len).detach(),
        "advantages": advantages,
        "returns": advantages + states,
        "ref_logits": ref_logits,
    }
    return terms_of(logits, values, batch, settings)


@torch.no_grad()
def move(parameters, way):
    """Add a vector to parameters."""
    for parameter, piece in zip(parameters, way.split([item.numel() for item in parameters]), strict=True):
        parameter.add_(piece.reshape(parameter.shape))


@pytest.mark.points(2)
def test_phases_of_rollout_and_learning_move_the_policy_up_the_gradient_of_its_objective(RLHFTrainer, draw):
    inputs = rollout_inputs(draw, "whole")
    report = rollout_report(RLHFTrainer, draw, "whole")
    settings, phases = inputs["settings"], report["phases"]
    ids = [checked_ids(phase, settings) for phase in phases]
    for phase in phases:
        assert not phase["inference"], f"What a rollout holds are inference tensors: {NO_INFERENCE}"
        assert phase["gradients"], "rollout_phase switches gradients off for all later code: leave torch as it was"
    last_learnt = phases[-1]["moved"] is not None
    assert last_learnt, "Learning from what the rollout of the same trainer returned raises an exception"
    assert len(phases) == inputs["count"], "Two phases of rollout and learning should be possible"
    # The right way depends on the rewards' definition of the deviation, which the advantages show.
    shown = [*ids, *(phase["advantages"] for phase in phases)]
    key = (settings["seed"], *(tensor.double().contiguous().numpy().tobytes() for tensor in shown))
    ways = cached(WANTED, key, lambda: right_way(inputs, phases))
    for phase, (wanted, if_attached), phrase in zip(phases, ways, ("a first", "a second"), strict=True):
        for part, name in PARTS.items():
            got, reason = phase["moved"][part], "it is the learning rate times the gradient, since Adam's eps is large"
            if is_close(got, if_attached[part]):
                reason = "what the memory holds carries a gradient; run the rollout under torch.no_grad()"
            elif is_close(got, -wanted[part]):
                reason = "it goes down the objective, and the optimizer maximises: call backward on the objective"
            atol = 2e-3 * float(wanted[part].abs().max())
            expect_values(got, wanted[part], f"In {phrase} phase, the way of {name}", reason, rtol=1e-2, atol=atol)
    others = set(report["others"] or OTHER_MINIBATCHES) - set(OTHER_MINIBATCHES)
    assert not others, "learning_phase should learn from the memory that is passed to it; it reads another one"


def is_close(got, wanted):
    """Whether a movement is another one, up to small errors."""
    wanted = wanted.double()
    return got.shape == wanted.shape and bool((got - wanted).abs().max() <= 2e-3 * wanted.abs().max())


# Learning.

LOOP = "for each minibatch: zero_grad, the objective, backward, clip, step"


def learning_inputs(draw, name):
    """Return the driver's inputs of a case.

    "passes" makes two passes or more over a rollout. "clipped" has some gradients that are clipped, and others that are
    not. "schedule" makes phases with a warm-up, in the first of which nothing moves.
    """
    draw = draw.shared(f"learning, {name}")

    def make():
        passes = draw.integer(2, 3) if name == "passes" else 1
        minibatches = draw.integer(2, 4) if name == "passes" else 3
        # The norm of these gradients is below 1; that of a slope of 1 is between 0.5 and 1.3.
        slopes = [draw.choice([-1, 1]) * draw.number(0.1, 0.7) for _ in range(passes * minibatches)]
        settings = {
            **drawn_sizes(draw, draw.integer(2, 3), minibatches, passes),
            "base_lr": draw.number(0.3, 2),
            "head_lr": draw.number(0.3, 2),
            "max_grad_norm": draw.number(1.4, 5),
            "final_scale": 1.0,
            "prefix": "This is",
            "gen_len": draw.integer(2, 6),
        }
        if name == "clipped":
            slopes = draw.shuffled([draw.number(0.2, 0.4), draw.number(6, 9), -draw.number(10, 15)])
            settings["max_grad_norm"] = draw.number(1.4, 2.2)
        if name == "schedule":
            settings |= {"warmup_steps": draw.integer(1, 2), "final_scale": draw.number(0.05, 0.5), "total_phases": 9}
        offsets = (4 * draw.normal(len(slopes)) + draw.number(2, 4)).tolist()
        count = 3 if name == "schedule" else 1
        inputs = {"slopes": slopes, "offsets": offsets, "angle": draw.number(0.1, 6), "count": count}
        return {"settings": settings, "weights": drawn_weights(draw), **inputs}

    return cached(WANTED, draw.key, make)


def learning(trainer, draw, name):
    """Return the observation of each phase of a case, and the reference's."""
    inputs = learning_inputs(draw, name)
    draw = draw.shared(f"learning, {name}")
    phases = observed(trainer, draw, lambda: trainer.learning(**inputs)["phases"])
    reference = reference_answers().answer("RLHFTrainer")
    return phases, cached(WANTED, (draw.key, "phases"), lambda: reference.learning(**inputs)["phases"])


def expect_moved(trainer, draw, name, subject, reason):
    """Compare how far the parameters moved in each phase with the reference's way."""
    settings = learning_inputs(draw, name)["settings"]
    for phase, wanted in zip(*learning(trainer, draw, name), strict=True):
        seen = list(dict.fromkeys(phase["minibatches"])) == wanted["minibatches"]
        why = reason if seen else "the objective is computed of every minibatch of the memory, in order"
        for (part, words), rate in zip(PARTS.items(), ("base_lr", "head_lr"), strict=True):
            got, right = (report["moved"][part] / settings[rate] for report in (phase, wanted))
            expect_values(got, right, f"{subject} {words}", why, rtol=2e-3, atol=2e-6)


@pytest.mark.points(1)
def test_each_minibatch_of_every_pass_is_learnt_from(RLHFTrainer, draw):
    expect_moved(RLHFTrainer, draw, "passes", "After a learning phase of several passes, the way of", LOOP)


@pytest.mark.points(1)
def test_the_norm_of_the_whole_gradient_is_clipped(RLHFTrainer, draw):
    reason = "where the norm of all gradients together is above args.max_grad_norm, it is clipped to it before the step"
    expect_moved(RLHFTrainer, draw, "clipped", "With a small max_grad_norm, the way of", reason)


@pytest.mark.points(1)
def test_the_schedule_moves_on_once_a_phase_after_learning(RLHFTrainer, draw):
    reason = "each phase learns at the rate that the schedule has for it: the scheduler is stepped once, at its end"
    expect_moved(RLHFTrainer, draw, "schedule", "In one of several phases with a warm-up, the way of", reason)
    reason = "step the scheduler at the end of each phase, since the next one logs its rate before it begins"
    for phase, wanted in zip(*learning(RLHFTrainer, draw, "schedule"), strict=True):
        rates = torch.tensor(wanted["rates"], dtype=torch.float64)
        expect_values(phase["rates"], rates, "The learning rate of the optimizer after a phase", reason, atol=1e-9)


@pytest.mark.points(0.5)
def test_step_counts_the_optimizers_steps(RLHFTrainer, draw):
    [phase], [wanted] = learning(RLHFTrainer, draw, "clipped")
    got, right = (torch.cat([report["moved"][part].double() for part in PARTS]) for report in (phase, wanted))
    is_up = got.shape == right.shape and float(torch.cosine_similarity(got, right, dim=0)) > 0.2
    assert is_up, "After a learning phase, the parameters have not moved up the objective of its minibatches"
    for name in ("clipped", "schedule"):
        phases, reference = learning(RLHFTrainer, draw, name)
        same = [phase["step"] for phase in phases] == [phase["step"] for phase in reference]
        assert same, "self.step should grow by one with each step of the optimizer, one for each minibatch"


@pytest.mark.points(0.5)
def test_the_mean_objective_is_returned_as_a_number(RLHFTrainer, draw):
    # Nothing moves in the first phase of a warm-up, so the objectives depend on nothing else.
    phase, wanted = (phases[0] for phases in learning(RLHFTrainer, draw, "schedule"))
    right = torch.tensor(wanted["result"], dtype=torch.float64)
    assert phase["result"] is not None, "learning_phase should return the mean objective; nothing came"
    reason = "it is the mean of the objectives of all minibatches"
    expect_values(phase["result"], right, "What learning_phase returns", reason, rtol=1e-3, atol=1e-4)
    message = "What learning_phase returns still holds the graph of the objectives: return a float (.item())"
    assert not phase["attached"], message
