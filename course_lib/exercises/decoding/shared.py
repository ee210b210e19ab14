"""What several exercises of `decoding` share."""

from __future__ import annotations

import functools
from functools import partial
from itertools import islice

import torch

from course_lib import decoding
from course_lib.decoder import DecoderConfig, DecoderLM

INF = float("inf")


def masked(logits, keep, value=-INF):
    return logits.masked_fill(~keep, value)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def fits(counts, probs):
    """Whether all counts lie within six standard deviations of what the probabilities say."""
    n, probs = counts.sum().double(), probs.double()
    return bool(((counts - n * probs).abs() <= 6 * (n * probs * (1 - probs)).sqrt() + 1e-9).all())


VOCAB, PAD = 12, 5


TOLD = "only id (sum + 2 length of the text) % 12"


class CountingDecoder(DecoderLM):
    """Counts how often it reads a whole text."""

    whole_texts = 0

    def forward(self, *arguments, **options):
        self.whole_texts += 1
        return super().forward(*arguments, **options)


@functools.lru_cache(maxsize=64)
def tiny_decoder(seed):
    """A tiny decoder, far from uniform, that does not always say the same."""
    config = DecoderConfig(VOCAB, 24, width=8, n_layers=1, n_heads=2, ffn_width=12)
    model = CountingDecoder(config, seeded(seed)).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(4.0)
    return model


def named_filter(name):
    """Filters by name, so that a case can be read."""
    return {
        "not the best": lambda logits: logits.scatter(-1, logits.argmax(-1, keepdim=True), -INF),
        "only id 0": lambda logits: logits.masked_fill(torch.arange(VOCAB) > 0, -INF),
        "id 3 gets 50 more": lambda logits: logits + 50.0 * (torch.arange(VOCAB) == 3),
        "temperature 50": partial(decoding.apply_temperature, temperature=50.0),
        "temperature 2": partial(decoding.apply_temperature, temperature=2.0),
        "top-k 3": partial(decoding.top_k_filter, k=3),
        "repetition penalty 3": partial(decoding.repetition_penalty, penalty=3.0),
        TOLD: told_by_the_text,
    }[name]


def told_by_the_text(logits, ids):
    """Whoever shows this filter another text than the right one gets another token."""
    told = (ids.sum() + 2 * len(ids)) % VOCAB
    return logits.masked_fill(torch.arange(VOCAB) != told, -INF)


def prompts_and_options(prompts, stop_ids, filters, use_cache):
    ids, mask = decoding.pad_left(prompts, PAD)
    padded = len({len(prompt) for prompt in prompts}) > 1
    options = {"attention_mask": mask} if padded else {}
    options |= {"stop_ids": stop_ids} if stop_ids else {}
    options |= {"filters": [named_filter(name) for name in filters]} if filters else {}
    options |= {} if use_cache else {"use_cache": False}
    return ids, options


def reads_whole_texts(solution, model_seed, prompts, max_new_tokens, use_cache):
    """Whether the whole text is read at each step, by `model(...)`."""
    model, ids = tiny_decoder(model_seed), torch.tensor(prompts)
    model.whole_texts = 0
    options = {}
    if not use_cache:  # then a model is what can be called
        model, options = (
            (lambda *arguments: tiny_decoder(model_seed)(*arguments)),
            {"use_cache": False},
        )
    for _ in islice(solution(model, ids, max_new_tokens=max_new_tokens, **options), 40):
        pass
    return {"reads the whole text again at each step": tiny_decoder(model_seed).whole_texts > 1}


def first_draws(solution, model_seed, prompt, filters, seed):
    """A first token for each of many equal rows, drawn with a generator."""
    ids, model = torch.tensor([prompt]).expand(100, -1), tiny_decoder(model_seed)
    chosen = [named_filter(name) for name in filters]

    def first_tokens(seed):
        options = {"filters": chosen, "generator": seeded(seed)}
        return torch.tensor(next(iter(solution(model, ids, max_new_tokens=1, **options))))

    def continuations():
        """How many different texts of three tokens begin, and with how many first tokens."""
        options = {"filters": [named_filter("temperature 50")], "generator": seeded(seed)}
        texts = list(zip(*solution(model, ids, max_new_tokens=3, **options), strict=True))
        return len(set(texts)), len({text[0] for text in texts})

    n_texts, n_beginnings = continuations()
    got = first_tokens(seed)
    logits = decoding.apply_filters(model(ids[:1])[:, -1], chosen, [ids[0]])[0]
    return {
        "as often as softmax of the filtered logits says": fits(
            got.bincount(minlength=VOCAB), logits.softmax(-1)
        ),
        "later tokens are drawn as well": n_texts > n_beginnings,
        "the same seed gives the same ids": torch.equal(got, first_tokens(seed)),
        "another seed gives others": not torch.equal(got, first_tokens(seed + 1)),
    }


def interesting(draw, prompts, n, filters=()):
    """(model seed, a stop id, the rows without it): rows of different ids that the stop id ends
    at different steps, one of them never."""
    for _ in range(2000):
        seed = draw.random.randrange(10**6)
        ids, options = prompts_and_options(prompts, (), filters, True)
        rows, _ = decoding.generate(tiny_decoder(seed), ids, max_new_tokens=n, **options)
        if len(set(map(tuple, rows))) < len(rows) or min(len(set(row)) for row in rows) < 3:
            continue
        for stop in rows[0][1:-1]:
            ends = [row.index(stop) if stop in row else n for row in rows]
            if len(set(ends)) == len(ends) and max(ends) == n:
                return seed, stop, rows
    raise AssertionError("no interesting model found")
