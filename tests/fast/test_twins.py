"""Every twin is known as one, and does what the exercise it would solve asks for."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from dataclasses import is_dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import course_lib.fast
from course_lib import tokenization
from course_lib.bpe_tokenizer import BPETokenizer
from course_lib.checks import evaluate, exercises
from course_lib.fast import FastDecoder, next_token_loss
from course_lib.pre_tokenization import pre_tokenize, split_special
from course_lib.twins import twins, with_twins

EXERCISES = {
    f"{exercise.reference.__module__}.{exercise.reference.__name__}": exercise
    for exercise in exercises().values()
}


def found(name: str):
    module, _, name = name.rpartition(".")
    return getattr(importlib.import_module(module), name)


# ---- a twin may take something else than its original: then the exercise calls it through this


def beam_search(twin):
    """A model whose cache is what it has read."""

    class Read:
        def __init__(self, rows):
            self.ids = rows

        def rows(self, places):
            return Read([self.ids[place] for place in places])

    def solution(log_prob_fn, *arguments):
        def decode_step(unread, cache):
            past = cache.ids if cache else [[]] * len(unread)
            rows = [old + new for old, new in zip(past, unread.tolist(), strict=True)]
            return torch.stack([log_prob_fn(row) for row in rows]), Read(rows)

        return twin(SimpleNamespace(decode_step=decode_step), *arguments)

    return solution


class Unchanged(nn.LayerNorm):
    def forward(self, x):
        return x


def loss_of_logits(twin):
    """A model that is nothing but these logits. It reads no padding: each pair of a token and the
    one to predict is a text of its own."""

    def solution(logits, ids, ignore_index=-100):
        vocab = logits.shape[-1]
        labels = ids[:, 1:].flatten()
        kept = labels != ignore_index
        if not kept.any():
            return logits.sum() * 0
        rows = logits[:, :-1].flatten(0, 1)[kept]
        model = SimpleNamespace(
            config=SimpleNamespace(vocab_size=vocab, positions="learned"),
            embed=lambda ids, positions: torch.stack([rows, torch.zeros_like(rows)], dim=1),
            blocks=[],
            norm=Unchanged(vocab),
            head=SimpleNamespace(weight=torch.eye(vocab, dtype=logits.dtype)),
        )
        return twin(model, labels[kept, None].repeat(1, 2))

    return solution


def decode_step(twin):
    return lambda model, *arguments: twin(model).decode_step(*arguments)


def train_bpe(twin):
    """It learns from words: those are cut, counted and spelled for it."""

    def solution(text, vocab_size, special_tokens=()):
        untrained = tokenization.train_bpe("", vocab_size, special_tokens)
        ids = {token: id for id, token in untrained.vocab.items()}
        passages = split_special(text, special_tokens)[::2]
        words = Counter(word for passage in passages for word in pre_tokenize(passage))
        spelled = {tuple(ids[bytes([b])] for b in word.encode()): n for word, n in words.items()}
        merge_ids, vocab = twin(spelled, untrained.vocab, vocab_size), dict(untrained.vocab)
        for (left, right), id in merge_ids.items():
            vocab[id] = vocab[left] + vocab[right]
        ranks = {pair: rank for rank, pair in enumerate(merge_ids)}
        return BPETokenizer(vocab, ranks, merge_ids, untrained.special_tokens)

    return solution


THROUGH = {
    "learn_merges": train_bpe,
    "fast_beam_search": beam_search,
    "next_token_loss": loss_of_logits,
    "FastDecoder": decode_step,
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("twin", twins(), ids=lambda twin: twin[1])
def test_a_twin_passes_the_check_of_its_exercise(twin, hidden, seed, monkeypatch):
    module, name = twin
    originals = twins()[twin]
    assert originals
    for original in originals:
        exercise, solution = EXERCISES[original], found(f"{module}.{name}")
        monkeypatch.setattr(exercise, "seconds", 120.0)  # the first call may load much of torch
        solution = THROUGH.get(name, lambda same: same)(solution)
        report = evaluate(exercise.id, solution, seed=seed, hidden=hidden)
        assert report.passed, report.message


@pytest.mark.parametrize("twin", THROUGH)
def test_a_wrong_twin_does_not_pass(twin):
    wrong = {
        "learn_merges": lambda words, vocab, vocab_size: {},
        "fast_beam_search": lambda model, start, *rest: (start, 0.0),
        "next_token_loss": lambda model, ids: 2 * next_token_loss(model, ids),
        "FastDecoder": lambda model: SimpleNamespace(
            decode_step=lambda *arguments: FastDecoder(model).decode_step(arguments[0])
        ),
    }
    (original,) = next(names for (_, name), names in twins().items() if name == twin)
    assert not evaluate(EXERCISES[original].id, THROUGH[twin](wrong[twin])).passed


def test_what_the_folder_offers_is_tagged():
    offered = {getattr(course_lib.fast, name) for name in course_lib.fast.__all__}
    offered = {one for one in offered if not is_dataclass(one)}  # those do nothing
    tagged = {found(f"{module}.{name}") for module, name in twins()}
    assert offered <= tagged


def test_the_folder_imports_all_its_modules():
    names = [module.name for module in pkgutil.iter_modules(course_lib.fast.__path__)]
    assert names and all(hasattr(course_lib.fast, name) for name in names)


def test_with_twins():
    train = ("course_lib.tokenization", "train_bpe")
    others = [
        ("course_lib.tokenization", "learn_merges"),
        ("course_lib.fast.bpe", "train_bpe_fast"),
    ]
    assert with_twins([train]) == [train, *others]
    assert with_twins([("course_lib.attention", "softmax")]) == [
        ("course_lib.attention", "softmax")
    ]
