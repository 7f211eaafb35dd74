"""Hidden tests of `GRPOTrainer`: its rollouts and its losses, on a GPT-2 of two layers whose weights are drawn.

The judge recomputes what a rollout should hold from the tokens that were sampled, and losses and gradients of batches
that it drew, in double precision and text by text without padding. Prompts begin with a token that no word has, so they
are read from the token ids alone.
"""

import pytest
import torch

from rlhf_course.checks.tiny import BOS, VOCABULARY
from rlhf_course.grading.drivers.part3_policy_gradients.grpo_trainer import FIELDS, reward_of
from rlhf_course.grading.judge.compare import NO_INFERENCE, expect_settings_as_they_were, expect_values
from rlhf_course.grading.judge.gpt2 import Shape, drawn_weights, run

SHAPE = Shape(vocab=len(VOCABULARY), positions=32, width=24, layers=2, heads=3)
# Words that can follow each other in a prompt: the first of them stands without a blank. Each is a token.
FIRST_WORDS, WORDS = ("This", ".", ".."), [word for word in VOCABULARY if word.startswith(" ")]
EOS = 0
EPS = 1e-4
KINDS = ("sequence_mean", "token_mean", "constant")
LATER_PROMPTS = 4


# What is computed from draws alone, for all answers; and what the latest answers did.
WANTED, OBSERVED = {}, {}


def cached(store, key, make):
    """Return what was computed under a key; a store keeps the latest results."""
    if key not in store:
        store[key] = make()
        if len(store) > (16 if store is OBSERVED else 256):
            del store[next(iter(store))]
    return store[key]


def observed(answer, draw, drive):
    """Return what a driver observed of an answer, which is driven once for all tests that share a draw."""
    return cached(OBSERVED, (id(answer), draw.key), lambda: (answer, drive()))[1]


def require_report(report, key):
    """Return a part of a driver's report, if the answer has the right base class."""
    assert "base class" not in report, "GRPOTrainer should be a subclass of rlhf_course.GroupTrainer"
    return report[key]


# What is drawn.


@torch.no_grad()
def policy(draw, ends="sometimes"):
    """Draw the weights of a policy, in some of which texts end at every token or at none."""
    for number in range(200):
        weights = drawn_weights(draw.numbered(number), SHAPE)
        end = weights["embed.weight"][EOS]
        height = {"sometimes": 3.2, "at once": 60.0, "never": -60.0}[ends]
        weights["ln_final.bias"] = weights["ln_final.bias"] + height * end / (end @ end)
        starts = torch.tensor([[EOS, token] for token in range(1, SHAPE.vocab)])
        of_end = run(weights, SHAPE.heads, starts).logits[:, -1].softmax(-1)[:, EOS]
        if ends != "sometimes" or 0.12 < float(of_end.mean()) < 0.3:
            return weights
    raise AssertionError("no policy was found whose texts end now and then")


def drawn_prompts(draw, count, lengths=(1, 5)):
    """Draw different prompts; where there are several, the first has the fewest words and the second the most."""
    chosen = [lengths[0], lengths[1]] + [draw.integer(*lengths) for _ in range(count)]
    prompts = []
    for words in chosen[:count]:
        prompt, tries = "", 0
        while not prompt or prompt in prompts:
            # There are as many prompts of one word as first words: where all are drawn, this one gets another word.
            others = words - 1 + (count > 6) + tries // 8
            prompt, tries = "".join([draw.choice(FIRST_WORDS), *draw.sample(WORDS, others)]), tries + 1
        prompts.append(prompt)
    return draw.shuffled(prompts)


def ids_of(prompt):
    """Return the token ids of a prompt after the token that begins a text."""
    words = prompt.replace(" ", "\n ").split("\n")
    return [VOCABULARY.index(BOS), *(VOCABULARY.index(word) for word in words if word)]


# What is right.


def exact(weights, requires_grad=False):
    """Return weights in double precision."""
    return {name: weight.double().requires_grad_(requires_grad) for name, weight in weights.items()}


def logprobs_of(weights, texts):
    """Return the log-probabilities of all tokens at each position of a completion, text by text.

    Args:
        weights: The policy's weights.
        texts: For each text the ids of its prompt, and those of its completion.
    """
    rows = [None] * len(texts)
    sizes = {(len(prompt), len(completion)) for prompt, completion in texts}
    for size in sorted(sizes):
        alike = [row for row, text in enumerate(texts) if tuple(map(len, text)) == size]
        ids = torch.tensor([[*texts[row][0], *texts[row][1]] for row in alike])
        logits = run(weights, SHAPE.heads, ids).logits[:, size[0] - 1 : -1]
        for row, own in zip(alike, logits.log_softmax(-1), strict=True):
            rows[row] = own
    return rows


def chosen(rows, texts):
    """Return the log-probability of each token of each completion."""
    return [row[torch.arange(len(text)), torch.tensor(text)] for row, (_, text) in zip(rows, texts, strict=True)]


def right_losses(new, old, advantages, low, high):
    """Return the loss of each token, by cases: the sign of the advantage says which bound holds."""
    found = []
    for own, before, advantage in zip(new, old, advantages, strict=True):
        ratio = (own - before).exp()
        bounded = torch.where(advantage > 0, ratio.clip(max=1 + high), ratio.clip(min=1 - low))
        found.append(-advantage * bounded)
    return found


def aggregated(losses, kind, max_new_tokens):
    """Return the loss of a batch from those of the tokens of each text."""
    if kind == "sequence_mean":
        return sum(own.sum() / len(own) for own in losses) / len(losses)
    total = torch.cat(losses).sum()
    return total / (sum(map(len, losses)) if kind == "token_mean" else len(losses) * max_new_tokens)


def right_advantages(rewards, settings):
    """Return the right advantages of completions whose groups stand one after the other, one tensor a definition."""
    groups = rewards.double().reshape(-1, settings["group_size"])
    size = settings["group_size"]
    centred = groups - groups.mean(1, keepdim=True)
    if settings.get("baseline") == "leave_one_out":
        return [(centred * size / (size - 1)).flatten()]
    if not settings.get("scale_by_std", True):
        return [centred.flatten()]
    return [(centred / (groups.std(1, correction=extra, keepdim=True) + EPS)).flatten() for extra in (1, 0)]


# Rollouts.


def rollout_case(draw, name):
    """Return the driver's inputs of a case.

    "groups" makes rollouts of all kinds: of prompts of different lengths, of other prompts under other weights, the
    same once more, of one prompt, and of completions that all end at once or never. "many" makes a large rollout, whose
    completions show what they were sampled from. "pairs" has groups of two, "single tokens" completions of one token;
    the other cases have other settings of the baseline.
    """
    draw = draw.shared(f"rollouts, {name}")

    def make():
        settings = {"seed": draw.integer(2, 2**40), "group_size": draw.integer(3, 4), "max_new_tokens": 6}
        settings |= {
            "groups": {"max_new_tokens": draw.integer(5, 7)},
            "many": {"group_size": 8},
            "pairs": {"group_size": 2},
            "single tokens": {"max_new_tokens": 1},
            "leave one out": {"baseline": "leave_one_out", "scale_by_std": draw.choice((True, False))},
            "not scaled": {"scale_by_std": False},
        }[name]
        first, second = policy(draw.numbered(1000)), policy(draw.numbered(2000))
        # Four pairs are as many completions as a group has by default.
        several = {"weights": first, "prompts": drawn_prompts(draw, 4 if name == "pairs" else 6)}
        if name == "groups":
            others = {"weights": second, "prompts": drawn_prompts(draw, 5)}
            rollouts = [several, others, others]
            rollouts.append({"weights": first, "prompts": drawn_prompts(draw, 1)})
            rollouts.append({"weights": policy(draw.numbered(3000), "at once"), "prompts": drawn_prompts(draw, 3)})
            rollouts.append({"weights": policy(draw.numbered(4000), "never"), "prompts": drawn_prompts(draw, 4)})
        elif name == "many":
            rollouts = [{"weights": first, "prompts": drawn_prompts(draw, 16)}]
        else:
            rollouts = [several, {"weights": second, "prompts": drawn_prompts(draw, 1)}]
        rewards = [number / 4 for number in draw.integers(-8, 8, 31).tolist()]
        return {"settings": settings, "character_rewards": rewards, "rollouts": rollouts}

    return cached(WANTED, draw.key, make)


class Rollout:
    """A rollout, with what the judge reads from its token ids.

    Attributes:
        settings: The trainer's settings.
        report: The fields of the batch.
        prompts: The prompt of each row.
        texts: For each row the ids of its prompt, and those of its completion up to and with the first end-of-text.
        mask: True at the tokens of these completions.
        rows: The log-probabilities of all tokens at the positions of each completion.
        rewards: The right rewards.
    """

    def __init__(self, inputs, number, report):
        self.settings, self.report = inputs["settings"], report
        self.weights, wanted = inputs["rollouts"][number]["weights"], inputs["rollouts"][number]["prompts"]
        ids, gen = report["input_ids"].long(), report["completion_mask"].shape[1]
        assert gen <= self.settings["max_new_tokens"], "A completion has more than args.max_new_tokens tokens"
        count = len(wanted) * self.settings["group_size"]
        assert len(ids) == count, "A rollout should have args.group_size completions of each prompt"
        in_range = bool(((ids >= 0) & (ids < SHAPE.vocab)).all())
        assert in_range, "input_ids should hold token ids, those of the prompt and those of the completion"
        by_ids = {tuple(ids_of(prompt)): prompt for prompt in wanted}
        self.prompts, self.texts = [], []
        for row in ids.tolist():
            before, completion = row[:-gen], row[-gen:]
            ends = [prompt for prompt in by_ids if tuple(before[-len(prompt) :]) == prompt]
            message = "Each row of input_ids should hold one of the prompts, padded on the left, and its completion"
            assert len(ends) == 1, message
            length = completion.index(EOS) + 1 if EOS in completion else gen
            is_whole = EOS in completion or gen == self.settings["max_new_tokens"]
            assert is_whole, "A completion without an end-of-text token should have args.max_new_tokens tokens"
            self.prompts.append(by_ids[ends[0]])
            self.texts.append((list(ends[0]), completion[:length]))
        lengths = torch.tensor([len(completion) for _, completion in self.texts])
        self.mask = torch.arange(gen) < lengths[:, None]
        key = (tuple(inputs["character_rewards"]), number, inputs["settings"]["seed"], ids.numpy().tobytes())
        self.rows = cached(WANTED, key, lambda: logprobs_of(exact(self.weights), self.texts))
        self.rewards = torch.tensor([self._reward(inputs, row) for row in range(count)])

    def _reward(self, inputs, row):
        text = "".join(VOCABULARY[token] for token in self.texts[row][1])
        return reward_of(inputs["character_rewards"], self.prompts[row], text)

    @property
    def attention(self):
        """The right attention mask."""
        before = self.report["input_ids"].shape[1] - self.mask.shape[1]
        lengths = torch.tensor([len(prompt) for prompt, _ in self.texts])
        return torch.cat([torch.arange(before) >= before - lengths[:, None], self.mask], dim=1)

    def at_real_tokens(self, name):
        """Return the entries of a field at the tokens of the completions, which alone count."""
        return self.report[name].double()[self.mask]


def checked_rollouts(GRPOTrainer, draw, *names):
    """Run the rollouts of some cases, check their form, and return them."""
    found = []
    for name in names:
        inputs = rollout_case(draw, name)
        shared = draw.shared(f"rollouts, {name}")
        reports = observed(GRPOTrainer, shared, lambda inputs=inputs: GRPOTrainer.rollouts(**inputs))
        for number, report in enumerate(require_report(reports, "rollouts")):
            expect_batch(report)
            found.append(Rollout(inputs, number, report))
    expect_ends(found)
    return found


def expect_ends(rollouts):
    """Require that about as many texts end, and as early, as the policy's probabilities let expect.

    Where all texts end at once or none does, or all are cut, no mask, reward or advantage tells right from wrong.
    """
    excess = variance = 0.0
    for rollout in rollouts:
        for row, (_, completion) in zip(rollout.rows, rollout.texts, strict=True):
            of_end = row[:, EOS].exp()
            excess += float(completion[-1] == EOS) - float(of_end.sum())
            variance += float((of_end * (1 - of_end)).sum())
    many = "more" if excess > 0 else "fewer"
    is_sampled = abs(excess) < 6 * max(variance, 1.0) ** 0.5
    assert is_sampled, f"Far {many} completions end than the policy's probabilities let expect: call self.sample"


def expect_variety(rollouts):
    """Require that the completions of most groups differ: else no advantage tells right from wrong."""
    groups = sum(len(rollout.texts) // rollout.settings["group_size"] for rollout in rollouts)
    is_varied = sum(map(same_completions, rollouts)) <= 0.75 * groups
    assert is_varied, "The completions of a group are all the same, so none is better than another: sample each"


def expect_batch(report):
    """Require a batch with tensors of the right shapes and without gradients."""
    assert report["kind"] == "GRPOBatch", "rollout should return a GRPOBatch; another object came"
    tensors = [report[name] for name in FIELDS]
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors), "The fields of the batch should be tensors"
    ids, mask = report["input_ids"], report["completion_mask"]
    assert ids.dim() == 2 and mask.dim() == 2, "input_ids and completion_mask should have two dimensions"
    batch, gen = mask.shape
    shapes = {"input_ids": ids.shape, "attention_mask": ids.shape, "rewards": (batch,)}
    for name in FIELDS:
        is_right = tuple(report[name].shape) == tuple(shapes.get(name, (batch, gen)))
        assert is_right and len(ids) == batch and 0 < gen < ids.shape[1], f"The batch's {name} has another shape"
    assert not report["attached"], "What a rollout holds should carry no gradient"
    assert not report["changed"], "The list of prompts was changed in place: make a new one"


ALL_ROLLOUTS = ("groups", "pairs", "single tokens")


def same_completions(rollout):
    """Return how many groups hold the same completion several times and no other."""
    size = rollout.settings["group_size"]
    completions = [tuple(completion) for _, completion in rollout.texts]
    return sum(len(set(completions[start : start + size])) == 1 for start in range(0, len(completions), size))


@pytest.mark.points(1.5)
def test_each_prompt_gets_a_group_of_completions_that_the_policy_sampled(GRPOTrainer, draw):
    rollouts = checked_rollouts(GRPOTrainer, draw, *ALL_ROLLOUTS, "many")
    for rollout in rollouts:
        size = rollout.settings["group_size"]
        groups = [rollout.prompts[start : start + size] for start in range(0, len(rollout.prompts), size)]
        together = all(len(set(group)) == 1 for group in groups) and len({group[0] for group in groups}) == len(groups)
        assert together, "The completions of a prompt should stand together: repeat each prompt, not the whole list"
    expect_sampled(rollouts[-1])
    first, again = rollouts[1:3]
    is_other = first.texts != again.texts
    assert is_other, "A second rollout of the same prompts gave the same completions: they should be sampled anew"
    calls = [("The rollout", rollout.report) for rollout in rollouts]
    calls += [("The loss", report) for report, _ in losses(GRPOTrainer, draw, "ordinary")]
    for name, report in calls:
        expect_settings_as_they_were(report, name)
        assert report["args"], f"{name} changes the settings (self.args): a run records and uses them as they were"
        is_seeded = report.get("seeded", False)
        assert not is_seeded, f"{name} seeds torch, so that later rollouts sample with the same random numbers"


def expect_sampled(rollout):
    """Require that the completions of a large rollout were sampled from the policy, at temperature 1."""
    groups = len(rollout.texts) // rollout.settings["group_size"]
    is_alike = same_completions(rollout) > groups / 2
    assert not is_alike, "The completions of a group are all the same: sample each by itself"
    excess = variance = 0.0
    for row, (_, completion) in zip(rollout.rows, rollout.texts, strict=True):
        probabilities, picked = row.exp(), row[torch.arange(len(completion)), torch.tensor(completion)]
        mean = (probabilities * row).sum(-1)
        excess += float((picked - mean).sum())
        variance += float(((probabilities * row**2).sum(-1) - mean**2).sum())
    deviations = excess / max(variance, 1e-9) ** 0.5
    direction = "often" if deviations > 0 else "seldom"
    assert abs(deviations) < 5, (
        f"The policy's likely tokens are sampled too {direction}: call self.sample, which samples at temperature 1"
    )


def expect_mask(got, wanted, name, why):
    """Require that a mask is the right one."""
    wrong = got.bool() != wanted
    if bool(wrong.any()):
        values = "True, and should be False" if bool((wrong & ~wanted).any()) else "False, and should be True"
        raise AssertionError(f"{name} is {values}, at some tokens: {why}")


@pytest.mark.points(1)
def test_the_completion_mask_is_true_up_to_and_with_the_end(GRPOTrainer, draw):
    for rollout in checked_rollouts(GRPOTrainer, draw, *ALL_ROLLOUTS):
        why = "it is True at a completion's tokens, up to and with its first end-of-text token"
        expect_mask(rollout.report["completion_mask"], rollout.mask, "The batch's completion_mask", why)


@pytest.mark.points(1)
def test_the_attention_mask_is_true_at_real_tokens(GRPOTrainer, draw):
    for rollout in checked_rollouts(GRPOTrainer, draw, *ALL_ROLLOUTS):
        why = "it is False at padding, on the left of a prompt and on the right of a completion, and True elsewhere"
        expect_mask(rollout.report["attention_mask"], rollout.attention, "The batch's attention_mask", why)


@pytest.mark.points(1.5)
def test_rewards_are_the_verifiers_of_each_prompt_with_its_completion(GRPOTrainer, draw):
    for rollout in checked_rollouts(GRPOTrainer, draw, *ALL_ROLLOUTS, "many"):
        why = "it is what self.verify gives for each prompt and its completion, as it came"
        expect_values(rollout.report["rewards"], rollout.rewards.double(), "The batch's rewards", why)


@pytest.mark.points(1.5)
def test_old_logprobs_are_those_of_the_policy_that_sampled(GRPOTrainer, draw):
    for rollout in checked_rollouts(GRPOTrainer, draw, *ALL_ROLLOUTS):
        wanted = torch.cat(chosen(rollout.rows, rollout.texts))
        why = "at each token, it is the policy's log-probability given all real tokens before it"
        expect_values(rollout.at_real_tokens("old_logprobs"), wanted, "The batch's old_logprobs", why, rtol=1e-4)


def expect_advantages(rollout, subject, why):
    """Require the right advantages, the same at each token of a completion."""
    wanted = [
        own[:, None].expand(rollout.mask.shape)[rollout.mask]
        for own in right_advantages(rollout.rewards, rollout.settings)
    ]
    expect_values(rollout.at_real_tokens("advantages"), wanted, subject, why, rtol=1e-3, atol=1e-3)


@pytest.mark.points(1.5)
def test_advantages_compare_a_completion_with_its_group(GRPOTrainer, draw):
    rollouts = checked_rollouts(GRPOTrainer, draw, *ALL_ROLLOUTS)
    expect_variety(rollouts)
    for rollout in rollouts:
        why = "it is group_advantages of the rewards, at each token of a completion"
        expect_advantages(rollout, "The batch's advantages", why)


@pytest.mark.points(1)
def test_the_settings_choose_the_baseline_and_whether_to_divide(GRPOTrainer, draw):
    expect_variety(checked_rollouts(GRPOTrainer, draw, "leave one out", "not scaled"))
    for rollout in checked_rollouts(GRPOTrainer, draw, "leave one out"):
        why = "it is rloo_advantages of the rewards, which divides by no deviation"
        expect_advantages(rollout, 'With args.baseline "leave_one_out", the advantages', why)
    for rollout in checked_rollouts(GRPOTrainer, draw, "not scaled"):
        why = "nothing is divided by the deviation"
        expect_advantages(rollout, "Where args.scale_by_std is False, the advantages", why)


# Losses.


def loss_settings(draw, **others):
    """Draw settings under which both bounds, and the longest completion that may be, matter."""
    bounds = [draw.number(0.1, 0.2), draw.number(0.35, 0.5)]
    low, high = draw.shuffled(bounds)
    return {
        "seed": draw.integer(2, 2**40),
        "clip_low": low,
        "clip_high": high,
        "group_size": draw.integer(2, 4),
        "max_new_tokens": draw.integer(9, 12),
        "aggregation": "sequence_mean",
        **others,
    }


def drawn_batch(draw, weights, settings, rows, gen, lengths=(1, 5)):
    """Draw a batch whose ratios lie on either side of both bounds; what stands at padding is anything.

    Returns:
        The fields, and for each row the ids of its prompt and those of its completion.
    """
    prompts = [ids_of(prompt) for prompt in drawn_prompts(draw, rows, lengths)]
    sizes = draw.shuffled([gen, *([1] if rows > 1 else []), *(draw.integer(1, gen) for _ in range(rows))][:rows])
    texts = []
    for prompt, size in zip(prompts, sizes, strict=True):
        completion = draw.integers(1, SHAPE.vocab - 1, size).tolist()
        if size < gen:
            completion[-1] = EOS
        texts.append((prompt, completion))
    before = max(map(len, prompts)) + draw.integer(0, 2)
    input_ids = draw.integers(0, SHAPE.vocab - 1, rows, before + gen)
    attention = torch.zeros(rows, before + gen, dtype=torch.bool)
    with torch.no_grad():
        old = 0.5 * draw.normal(rows, gen)
        advantages = draw.normal(rows, gen)
        for row, logprobs in enumerate(chosen(logprobs_of(exact(weights), texts), texts)):
            prompt, completion = texts[row]
            input_ids[row, before - len(prompt) : before + len(completion)] = torch.tensor([*prompt, *completion])
            attention[row, before - len(prompt) : before + len(completion)] = True
            gaps = apart_from_bounds(0.6 * draw.normal(len(completion)), settings)
            old[row, : len(completion)] = (logprobs - gaps).float()
    fields = {
        "input_ids": input_ids,
        "attention_mask": attention,
        "completion_mask": attention[:, before:],
        "old_logprobs": old,
        "rewards": draw.normal(rows),
        "advantages": advantages + 0.1 * advantages.sign(),
    }
    return fields, texts


def apart_from_bounds(gaps, settings):
    """Return the logarithms of ratios, of which none is so near to a bound that rounding could decide."""
    for bound in (1 - settings["clip_low"], 1 + settings["clip_high"]):
        if bound > 0:
            middle = torch.tensor(bound).log()
            gaps = torch.where((gaps - middle).abs() < 0.02, middle + 0.05, gaps)
    return gaps


def parts_of(batch, texts):
    """Return the old log-probabilities and the advantages of a batch at the tokens of each completion."""
    return tuple(
        [batch[name][row, : len(text)].double() for row, (_, text) in enumerate(texts)]
        for name in ("old_logprobs", "advantages")
    )


def right_loss(weights, batch, texts, settings):
    """Return the right loss of a batch under weights in double precision."""
    new = chosen(logprobs_of(weights, texts), texts)
    losses = right_losses(new, *parts_of(batch, texts), settings["clip_low"], settings["clip_high"])
    return aggregated(losses, settings["aggregation"], settings["max_new_tokens"])


@torch.no_grad()
def other_losses(weights, batch, texts, settings):
    """Return what the loss would be with a mistake, by the words of a message."""
    new, (old, advantages) = chosen(logprobs_of(weights, texts), texts), parts_of(batch, texts)
    low, high = settings["clip_low"], settings["clip_high"]
    kind, longest = settings["aggregation"], settings["max_new_tokens"]
    bounds = {
        "args.clip_low is used for both bounds": (low, low),
        "args.clip_high is used for both bounds": (high, high),
        "the two bounds are swapped": (high, low),
        "nothing is clipped": (1.0, 1e9),
    }
    found = {
        words: aggregated(right_losses(new, old, advantages, *pair), kind, longest) for words, pair in bounds.items()
    }
    found["the old log-probabilities are computed anew: take batch.old_logprobs"] = aggregated(
        right_losses(new, new, advantages, low, high), kind, longest
    )
    right = right_losses(new, old, advantages, low, high)
    for other in KINDS:
        if other != kind:
            found[f'it is aggregated as for "{other}"'] = aggregated(right, other, longest)
    found["it is the sum of the tokens' losses"] = torch.cat(right).sum()
    if kind == "constant":
        width = batch["completion_mask"].shape[1]
        found["the batch's width stands for args.max_new_tokens"] = aggregated(right, kind, width)
    return found


def is_telling(weights, batch, texts, settings):
    """Whether each of these mistakes makes a difference far above the tolerance."""
    right = right_loss(weights, batch, texts, settings)
    others = other_losses(weights, batch, texts, settings).values()
    # The losses of "constant" are small, so their differences are, too: this is ten times the tolerance, or more.
    return all(abs(float(other - right)) > 0.002 + 0.01 * abs(float(right)) for other in others)


def copied(tensors):
    """Return copies of tensors by name: a request to a sandbox may name one tensor only a few times."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


def loss_case(draw, name):
    """Return the driver's inputs of a case, and of each call the texts of its batch.

    "ordinary" has the default aggregation and batches of several sizes, the first of them once more at the end;
    "token_mean" and "constant" are called so, and also have a batch of many texts; "never below" and "never above" have
    a bound that is 0, and "far below" has none below; "later" makes a rollout before each loss, one as large
    as the batch.
    """
    draw = draw.shared(f"losses, {name}")

    def make():
        others = {
            "token_mean": {"aggregation": "token_mean"},
            "constant": {"aggregation": "constant"},
            "never below": {"clip_low": 0.0, "clip_high": draw.number(0.3, 0.5)},
            "never above": {"clip_low": draw.number(0.3, 0.5), "clip_high": 0.0},
            "far below": {"clip_low": 1.0, "clip_high": draw.number(2, 3), "aggregation": "token_mean"},
        }
        settings = loss_settings(draw, **others.get(name, {}))
        weights = policy(draw.numbered(1000))
        calls = [(weights, *informative_batch(draw.numbered(5000), weights, settings, name))]
        if name in ("ordinary", "later"):
            sizes = [(1, draw.integer(3, 6)), (5, 1), (24, 4), (3, 9)]
            for number, (rows, gen) in enumerate(sizes):
                batch, texts = drawn_batch(draw.numbered(6000 + number), weights, settings, rows, gen)
                # A group without differences has no advantages, and its texts count like all others.
                batch["advantages"][draw.sample(range(rows), rows // 3)] = 0.0
                calls.append((weights, batch, texts))
            calls = [*calls, calls[0]]
        if name in KINDS[1:]:
            calls.append((weights, *drawn_batch(draw.numbered(6000), weights, settings, draw.integer(19, 23), 5)))
        if name == "later":
            weights = [weights, policy(draw.numbered(2000)), policy(draw.numbered(3000))]
            calls = [(own, *calls[number][1:]) for number, own in enumerate(weights)]
            # The rollout of a policy whose texts do not end has a known size, and this batch has the same.
            endless, rows = policy(draw.numbered(4000), "never"), LATER_PROMPTS * settings["group_size"]
            same_size = drawn_batch(draw.numbered(7000), endless, settings, rows, settings["max_new_tokens"])
            calls.append((endless, *same_size))
        made = [
            {
                "weights": copied(own),
                "batch": copied(batch),
                "prompts": drawn_prompts(draw, LATER_PROMPTS) if name == "later" else [],
            }
            for own, batch, _ in calls
        ]
        inputs = {"settings": settings, "calls": made}
        if name == "later":
            inputs["character_rewards"] = [number / 4 for number in draw.integers(-8, 8, 31).tolist()]
        return inputs, [texts for _, _, texts in calls]

    return cached(WANTED, draw.key, make)


def informative_batch(draw, weights, settings, name):
    """Draw a batch on which mistakes show."""
    for number in range(200):
        candidate = draw.numbered(5000 + number)
        batch, texts = drawn_batch(candidate, weights, settings, candidate.integer(5, 7), candidate.integer(5, 8))
        if name.startswith(("never", "far")) or is_telling(exact(weights), batch, texts, settings):
            return batch, texts
    raise AssertionError("no batch was found on which mistakes show")


def right_calls(draw, name):
    """Return the right loss of each call of a case, what it would be with a mistake, and the gradient of the first."""

    def make():
        inputs, texts = loss_case(draw, name)
        found = []
        for call, own in zip(inputs["calls"], texts, strict=True):
            leaves = exact(call["weights"], requires_grad=True)
            loss = right_loss(leaves, call["batch"], own, inputs["settings"])
            gradients = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
            others = other_losses(exact(call["weights"]), call["batch"], own, inputs["settings"])
            found.append((loss.detach(), others, dict(zip(leaves, gradients, strict=True))))
        return found

    return cached(WANTED, (draw.shared(f"losses, {name}").key, "right"), make)


def losses(GRPOTrainer, draw, name):
    """Return the driver's observation of each call of a case, with what is right."""
    inputs, _ = loss_case(draw, name)
    report = observed(GRPOTrainer, draw.shared(f"losses, {name}"), lambda: GRPOTrainer.losses(**inputs))
    return list(zip(require_report(report, "calls"), right_calls(draw, name), strict=True))


WHY = "it is grpo_clip_loss of the policy's log-probabilities at each token of a completion, then aggregate_loss"


def expect_loss(got, wanted, others, subject, why=WHY):
    """Require the right loss."""
    if isinstance(got, torch.Tensor) and got.numel() == 1:
        value = got.detach().double().reshape(())
        is_right = torch.allclose(value, wanted, rtol=1e-3, atol=1e-4)
        alike = [words for words, other in others.items() if torch.allclose(value, other, rtol=1e-5, atol=1e-5)]
        if not is_right and len(alike) == 1:
            why = f"it looks as if {alike[0]}"
    expect_values(got, wanted, subject, why, rtol=1e-3, atol=1e-4)


def has_value(got, wanted):
    """Return whether a loss has the right value, or nearly."""
    is_number = isinstance(got, torch.Tensor) and got.numel() == 1
    return is_number and torch.allclose(got.detach().double().reshape(()), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.points(1.5)
def test_the_loss_is_the_mean_over_texts_of_the_clipped_loss_of_their_tokens(GRPOTrainer, draw):
    phrases = ("", " of one text", " of completions of one token", " of many texts", " of other sizes", " once more")
    for (report, (wanted, others, _)), phrase in zip(losses(GRPOTrainer, draw, "ordinary"), phrases, strict=True):
        expect_loss(report["loss"], wanted, others, f"The loss of a batch{phrase}")


@pytest.mark.points(1.5)
def test_the_settings_choose_how_the_tokens_losses_are_aggregated(GRPOTrainer, draw):
    for name in KINDS[1:]:
        for report, (wanted, others, _) in losses(GRPOTrainer, draw, name):
            expect_loss(report["loss"], wanted, others, f'With args.aggregation "{name}", the loss')


@pytest.mark.points(1)
def test_the_settings_choose_both_bounds_of_the_ratio(GRPOTrainer, draw):
    for name in ("never below", "never above", "far below"):
        for report, (wanted, _, _) in losses(GRPOTrainer, draw, name):
            why = "the ratio is clipped to 1 - args.clip_low and 1 + args.clip_high"
            expect_loss(report["loss"], wanted, {}, "With other bounds of the ratio, the loss", why)


@pytest.mark.points(1.5)
def test_gradients_of_the_loss_reach_the_policy(GRPOTrainer, draw):
    for name in ("ordinary", "token_mean", "constant"):
        for number, (report, (loss, _, wanted)) in enumerate(losses(GRPOTrainer, draw, name)):
            if (name, number) != ("ordinary", 0) and not has_value(report["loss"], loss):
                continue  # Another test requires the value.
            assert has_gradient(report), "No gradient of the loss reaches all of the policy: compute it with gradients"
            got, right = report["gradient"], torch.cat([wanted[name].flatten() for name in wanted])
            why = "it is that of the clipped loss, through the policy's log-probabilities alone"
            atol = 2e-3 * float(right.abs().max()) + 1e-6
            expect_values(got, right, "The gradient of the loss at the policy", why, rtol=2e-3, atol=atol)


@pytest.mark.points(1)
def test_the_loss_of_a_batch_is_the_same_after_rollouts_and_in_later_phases(GRPOTrainer, draw):
    calls = losses(GRPOTrainer, draw, "later")
    inputs, _ = loss_case(draw, "later")
    settings = inputs["settings"]
    for call, (report, (wanted, others, _)) in zip(inputs["calls"], calls, strict=True):
        subject = "The loss of a batch that is not that of the last rollout"
        expect_loss(report["loss"], wanted, others, subject, "it depends on the batch and on the policy as it is now")
        is_learnt = has_gradient(report) or not has_gradient(losses(GRPOTrainer, draw, "ordinary")[0][0])
        assert is_learnt, "After a rollout, no gradient of the loss reaches the policy: leave torch as it was"
        own = report["own"]
        expect_batch({**own, "changed": False})
        assert not own["inference"], f"What a rollout holds are inference tensors: {NO_INFERENCE}"
        expect_own_loss(report, own, call, settings)


def has_gradient(report):
    """Return whether a gradient of a loss reaches all of the policy."""
    return report["gradient"] is not None


def expect_own_loss(report, own, call, settings):
    """Require the right loss of the batch of a rollout, with what the batch holds."""
    mask, ids = own["completion_mask"].bool(), own["input_ids"].long()
    gen, real = mask.shape[1], own["attention_mask"].bool()
    before = ids.shape[1] - gen
    assert bool(mask.any(1).all()), "The batch's completion_mask is False at all tokens of a completion"
    texts = [
        (ids[row, :before][real[row, :before]].tolist(), ids[row, before:][mask[row]].tolist())
        for row in range(len(ids))
    ]
    assert all(prompt for prompt, _ in texts), "The batch's attention_mask is False at all tokens of a prompt"
    with torch.no_grad():
        new = chosen(logprobs_of(exact(call["weights"]), texts), texts)
    old, advantages = (
        [own[name][row][mask[row]].double() for row in range(len(ids))] for name in ("old_logprobs", "advantages")
    )
    right = right_losses(new, old, advantages, settings["clip_low"], settings["clip_high"])
    wanted = aggregated(right, settings["aggregation"], settings["max_new_tokens"])
    expect_loss(report["own loss"], wanted, {}, "The loss of a rollout's own batch, before the first step")


@pytest.mark.points(0.5)
def test_the_loss_leaves_its_batch_as_it_was(GRPOTrainer, draw):
    inputs, _ = loss_case(draw, "ordinary")
    calls = losses(GRPOTrainer, draw, "ordinary")
    report, (wanted, others, _) = calls[0]
    expect_loss(report["loss"], wanted, others, "The loss of a batch")
    for call, (report, _) in zip(inputs["calls"], calls, strict=True):
        for name, tensor in call["batch"].items():
            after = report["batch"].get(name)
            same = isinstance(after, torch.Tensor) and torch.equal(after, tensor)
            assert same, f"The loss changed its batch's `{name}`: make new tensors"
        assert not report["batch"]["attached"], "The loss makes a field of its batch require a gradient"
