"""Text-to-text experiments: translation, four tasks in one model, and a start by span corruption
(notebook 07)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from course_lib.attention import record_attention
from course_lib.data.number_words import (
    END,
    PAD,
    SENTINELS,
    SPECIAL_TOKENS,
    START,
    aligned_words,
    pad_rows,
    spell_number,
    split_numbers,
)
from course_lib.data.storyland import Story, Storyland
from course_lib.data.storyland_world import Size
from course_lib.encoder_decoder import EncoderDecoder, EncoderDecoderConfig, greedy_translate
from course_lib.objectives import corrupt_spans, draw_spans, seq2seq_loss, shift_right
from course_lib.tokenization import BPETokenizer, train_bpe
from course_lib.training import train

Item = TypeVar("Item")
Pair = tuple[str, str]  # what to read, what to write
Batch = tuple[Int64[Tensor, "batch source"], Int64[Tensor, "batch target"]]  # source ids, labels


# ---- Tasks: a text to read, and a text to write


def translation(number: int) -> Pair:
    """From English to German."""
    return spell_number(number, "English"), spell_number(number, "German")


def digits(number: int) -> Pair:
    """From German words to digits."""
    return spell_number(number, "German"), str(number)


def question(story: Story) -> Pair:
    """Who did it. Active and passive are equally likely, so the order of the names says nothing by
    itself."""
    deed = story.facts[0]
    return f"who {deed.verb} the other? {told(story)}", deed.agent


def headline(story: Story) -> Pair:
    """A story in a few words: its first deed, in the active voice however it was told."""
    deed = story.facts[0]
    return told(story), f"{deed.agent} {deed.verb} {deed.patient}"


def told(story: Story) -> str:
    """What happened: a story's first two sentences, in lower case."""
    return ". ".join(story.text.strip().lower().split(". ")[:2]) + "."


def with_prefix(name: str, pairs: Sequence[Pair]) -> list[Pair]:
    """The task's name in front of what is read (Raffel et al. 2020, section 2.4)."""
    return [(f"{name}: {source}", target) for source, target in pairs]


def stories(n: int, n_test: int, seed: int) -> tuple[list[Story], list[Story]]:
    """Encounters of a small Storyland: some to learn from, others to be tested with.

    What happens in a story of the test does not happen, word for word, in any of the others.
    """
    world = Storyland(size=Size(people=2, words=8, topics=1), plots=("encounter",))
    everything = list(world.stories(n + n_test, seed))
    test = everything[:n_test]
    held_out = {told(story) for story in test}
    return [story for story in everything[n_test:] if told(story) not in held_out], test


# ---- Pairs to batches, and back


def draw(items: Sequence[Item], n: int, generator: torch.Generator) -> list[Item]:
    """`n` of them at random, with replacement."""
    return [items[i] for i in torch.randint(len(items), (n,), generator=generator).tolist()]


def encode_pairs(pairs: Sequence[Pair], tokenizer: BPETokenizer) -> Batch:
    """Texts as ids, an end token after each target; sources are padded, labels filled with -100."""
    special = tokenizer.special_tokens
    sources = [tokenizer.encode(source) for source, _ in pairs]
    targets = [[*tokenizer.encode(target), special[END]] for _, target in pairs]
    return pad_rows(sources, special[PAD]), pad_rows(targets, -100)


def corrupt_texts(
    texts: Sequence[str],
    tokenizer: BPETokenizer,
    generator: torch.Generator,
    share: float = 0.15,
    mean_span: float = 3.0,
) -> Batch:
    """An exercise made of each text by itself: random spans are cut out and asked for."""
    special = tokenizer.special_tokens
    sentinel_ids = [special[sentinel] for sentinel in SENTINELS]
    sources, targets = [], []
    for text in texts:
        ids = tokenizer.encode(text)
        spans = draw_spans(len(ids), generator, share, mean_span)[: len(sentinel_ids) - 1]
        corrupted, target = corrupt_spans(ids, spans, sentinel_ids)
        sources.append(corrupted)
        targets.append([*target, special[END]])
    return pad_rows(sources, special[PAD]), pad_rows(targets, -100)


def answer(
    model: EncoderDecoder, sources: Sequence[str], tokenizer: BPETokenizer, max_length: int = 32
) -> list[str]:
    """What the model writes, greedily; "" where it did not come to an end.

    The sources are encoded once: they do not change while the targets grow.
    """
    special = tokenizer.special_tokens
    source_ids = pad_rows([tokenizer.encode(source) for source in sources], special[PAD])
    with torch.no_grad():
        context = model.encode(source_ids)

    def continue_writing(source_ids: Tensor, target_ids: Tensor) -> Tensor:
        return model.decode(target_ids, context, source_ids)

    written = greedy_translate(
        continue_writing, source_ids, special[START], special[END], max_length
    )
    rows = [
        row[: row.index(special[END])] if special[END] in row else [] for row in written.tolist()
    ]
    return [tokenizer.decode(row) for row in rows]


def exact_match(model: EncoderDecoder, pairs: Sequence[Pair], tokenizer: BPETokenizer) -> float:
    """The share of pairs whose target is written exactly, letter for letter."""
    written = answer(model, [source for source, _ in pairs], tokenizer)
    return sum(w == target for w, (_, target) in zip(written, pairs)) / len(pairs)


# ---- Training


def loss_on(
    model: EncoderDecoder, source_ids: Tensor, labels: Tensor, start_id: int
) -> Float[Tensor, ""]:
    """Teacher forcing: read the source and the right answer so far, and be judged on the rest."""
    return seq2seq_loss(model(source_ids, shift_right(labels, start_id)), labels)


def fit(
    model: EncoderDecoder,
    next_batch: Callable[[torch.Generator], Batch],
    start_id: int,
    *,
    steps: int,
    learning_rate: float,
    generator: torch.Generator,
    on_step: Callable[[int, nn.Module], Any] | None = None,
) -> list[dict[str, float]]:
    """`train` on batches of (source ids, labels), a tenth of the steps to warm up."""

    def next_loss(generator: torch.Generator) -> Float[Tensor, ""]:
        return loss_on(model, *next_batch(generator), start_id)

    return train(
        model,
        next_loss,
        steps=steps,
        generator=generator,
        learning_rate=learning_rate,
        warmup=steps // 10,
        progress=False,
        on_step=on_step,
    )


def new_model(tokenizer: BPETokenizer, generator: torch.Generator) -> EncoderDecoder:
    """The size of all models of these experiments: 2 + 2 blocks, width 96, about half a million
    parameters."""
    config = EncoderDecoderConfig(
        vocab_size=len(tokenizer.vocab),
        max_length=48,
        width=96,
        n_layers=2,
        n_heads=4,
        ffn_width=384,
        pad_id=tokenizer.special_tokens[PAD],
    )
    return EncoderDecoder(config, generator)


# ---- One model, four tasks


@dataclass(frozen=True)
class Tasks:
    """Tasks that share a tokenizer.

    Attributes:
        pairs: name of the task -> (to learn from, to test), the name in front of each source.
        tokenizer: learned from all of them.
        batch: pairs of each task in a batch.
    """

    pairs: Mapping[str, tuple[list[Pair], list[Pair]]]
    tokenizer: BPETokenizer
    batch: int = 8

    def next_batch(self, generator: torch.Generator) -> Batch:
        """Equally many of each task, drawn at random."""
        drawn = [draw(learn, self.batch, generator) for learn, _ in self.pairs.values()]
        return encode_pairs(sum(drawn, []), self.tokenizer)


def make_tasks(generator: torch.Generator, n_test: int = 200) -> Tasks:
    """Translation, digits, questions and headlines."""
    numbers = split_numbers(10_000 - n_test, n_test, generator, limit=10_000)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    encounters = stories(6000, n_test, seed)
    tasks: list[tuple[Callable[[Any], Pair], tuple[list[Any], list[Any]]]] = [
        (translation, numbers),
        (digits, numbers),
        (question, encounters),
        (headline, encounters),
    ]
    pairs = {}
    for task, items in tasks:
        name = task.__name__
        learn, test = (with_prefix(name, [task(item) for item in some]) for some in items)
        pairs[name] = learn, test
    texts = [f"{source} {target}" for learn, _ in pairs.values() for source, target in learn[:1000]]
    return Tasks(pairs, train_bpe("\n".join(texts), 600, SPECIAL_TOKENS))


# ---- A start by span corruption


STARTS = ("from scratch", "one language a text", "both in one text")


def plain_texts(numbers: Sequence[int], start: str) -> list[str]:
    """Text to pre-train on, without a task in it.

    Each number in words, every time in one language, or in both, one way round and the other.
    """
    pairs = [translation(number) for number in numbers]
    if start == "one language a text":
        return [text for pair in pairs for text in pair]
    return [f"{a}, {b}" for pair in pairs for a, b in (pair, pair[::-1])]


def low_data_scores(
    generator: torch.Generator,
    n_labels: int = 40,
    *,
    pretrain_steps: int = 200,
    fine_tune_steps: int = 80,
    n_test: int = 200,
    starts: Sequence[str] = STARTS,
) -> tuple[dict[str, list[dict[str, float]]], dict[str, float]]:
    """English to German below 1,000 from a few labelled pairs, after three different starts.

    Weights drawn at random, or pre-trained by span corruption on either kind of `plain_texts`; then
    every one learns from the same pairs in the same way. Numbers of the test occur nowhere else.

    Returns:
        (history of each pre-training, exact match after each of `starts`).
    """
    learn, test = split_numbers(1000 - n_test, n_test, generator, limit=1000)
    labelled, test_pairs = ([translation(n) for n in some] for some in (learn[:n_labels], test))
    spelled = plain_texts(learn, "one language a text")
    tokenizer = train_bpe("\n".join(spelled), 310, SPECIAL_TOKENS)
    start_id = tokenizer.special_tokens[START]

    def learn_from(
        model: EncoderDecoder, next_batch: Callable[[torch.Generator], Batch], steps: int
    ) -> list[dict[str, float]]:
        return fit(
            model, next_batch, start_id, steps=steps, learning_rate=3e-3, generator=generator
        )

    def pretrain(model: EncoderDecoder, texts: Sequence[str]) -> list[dict[str, float]]:
        def next_corrupted(generator: torch.Generator) -> Batch:
            return corrupt_texts(draw(texts, 32, generator), tokenizer, generator, 0.5, 5.0)

        return learn_from(model, next_corrupted, pretrain_steps)

    def next_labelled(generator: torch.Generator) -> Batch:
        return encode_pairs(draw(labelled, 32, generator), tokenizer)

    histories, scores = {}, {}
    for start in starts:
        model = new_model(tokenizer, generator)
        if start != "from scratch":
            texts = plain_texts(learn, start)
            long_enough = [text for text in texts if len(tokenizer.encode(text)) > 1]
            histories[start] = pretrain(model, long_enough)
        learn_from(model, next_labelled, fine_tune_steps)
        scores[start] = exact_match(model, test_pairs, tokenizer)
    return histories, scores


# ---- Looking at cross-attention where the right alignment is known


def cross_attention_maps(
    model: EncoderDecoder, number: int, tokenizer: BPETokenizer
) -> tuple[list[Float[Tensor, "heads target source"]], list[bytes], list[bytes]]:
    """What each decoder block looks at while the German word is written, with the tokens.

    Row t of a map is the look that writes target token t.

    Returns:
        (one tensor a block, English tokens, German tokens).
    """
    source_ids, labels = encode_pairs([translation(number)], tokenizer)
    with torch.no_grad(), record_attention() as weights:
        loss_on(model, source_ids, labels, tokenizer.special_tokens[START])
    cross = weights[len(model.encoder) :][1::2]  # the encoder's, then self and cross in turn
    source, target = ([tokenizer.vocab[i] for i in ids[0].tolist()] for ids in (source_ids, labels))
    return [w[0] for w in cross], source, target


def aligned_tokens(
    number: int, source: Sequence[bytes], target: Sequence[bytes]
) -> list[tuple[int, int]]:
    """(target, source) places of the tokens that hold (a part of) the same word."""
    pairs = []
    for english, german in aligned_words(number):
        pairs += [(t, s) for t in _inside(target, german) for s in _inside(source, english)]
    return pairs


def _inside(tokens: Sequence[bytes], place: tuple[int, int]) -> list[int]:
    """Which tokens share a byte with this place of the text that they spell."""
    found, position = [], 0
    for i, token in enumerate(tokens):
        start, position = position, position + len(token)
        if start < place[1] and place[0] < position:
            found.append(i)
    return found


def alignment_scores(
    model: EncoderDecoder, numbers: Sequence[int], tokenizer: BPETokenizer
) -> dict[tuple[int, str], tuple[float, float, float]]:
    """How much each head of each decoder block looks where the same word stands.

    Over all German tokens that hold a word: the weight on the English tokens of that word, how
    often one of them is looked at most, and the weight that looking everywhere alike would give.

    Returns:
        (block, head or "mean") -> the three means.
    """
    found: dict[tuple[int, str], list[tuple[float, bool, float]]] = {}
    for number in numbers:
        maps, source, target = cross_attention_maps(model, number, tokenizer)
        partners: dict[int, list[int]] = {}
        for t, s in aligned_tokens(number, source, target):
            partners.setdefault(t, []).append(s)
        for block, heads in enumerate(maps):
            named = {str(h): weights for h, weights in enumerate(heads)} | {"mean": heads.mean(0)}
            for head, weights in named.items():
                for t, places in partners.items():
                    most = int(weights[t].argmax()) in places
                    score = (float(weights[t, places].sum()), most, len(places) / len(source))
                    found.setdefault((block, head), []).append(score)
    return {key: tuple(sum(c) / len(c) for c in zip(*scores)) for key, scores in found.items()}
