"""The experiments of notebook 05: an encoder that reads Storyland, and one that reads pictures.

`benchmarks/encoder.py` repeats them over seeds.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from course_lib.data.digits import Digits, to_patches
from course_lib.data.number_words import pad_rows
from course_lib.data.storyland import TAGS, Storyland
from course_lib.encoder import Encoder, EncoderConfig, MaskedLM
from course_lib.finetuning import (
    SequenceClassifier,
    TokenClassifier,
    add_lora,
    fine_tune,
)
from course_lib.initialisation import initialise
from course_lib.objectives import align_labels, causal_lm_loss, mask_tokens, masked_lm_loss
from course_lib.training import train
from course_lib.transformer import TransformerBlock

Method = Literal["from scratch", "features", "LoRA", "full"]
METHODS: tuple[Method, ...] = get_args(Method)
LEARNING_RATE = {"from scratch": 3e-3, "features": 3e-2, "LoRA": 1e-2, "full": 3e-3}


class Sentence(NamedTuple):
    """A sentence of a story and what is true of it.

    Attributes:
        tokens: words and punctuation.
        tags: one BIO tag of `storyland.TAGS` for each token.
        sentiment: 1 for a good mood, 0 for a bad one, -100 where no mood is told.
        negated: the mood is told with its negated opposite.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    sentiment: int
    negated: bool


def tell(world: Storyland, n: int, seed: int) -> tuple[list[Sentence], list[Sentence]]:
    """The opening sentences of `n` stories, which say who and where, and the last ones, which tell
    the mood."""
    openings, endings = [], []
    for story in world.stories(n, seed):
        stops = [i + 1 for i, token in enumerate(story.tokens) if token == "."]
        first, last = slice(stops[0]), slice(stops[-2], stops[-1])
        positive = int(story.sentiment == "positive")
        openings.append(Sentence(story.tokens[first], story.entities[first], -100, False))
        endings.append(Sentence(story.tokens[last], story.entities[last], positive, story.negated))
    return openings, endings


@dataclass(frozen=True)
class Batch:
    """Sentences as tensors, padded on the right.

    Attributes:
        ids: [CLS] first.
        attention_mask: 1 = token, 0 = padding.
        special_mask: True at [CLS] and padding.
    """

    ids: Int64[Tensor, "n time"]
    attention_mask: Int64[Tensor, "n time"]
    special_mask: Bool[Tensor, "n time"]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | Int64[Tensor, "rows"]) -> Batch:
        return Batch(self.ids[rows], self.attention_mask[rows], self.special_mask[rows])

    @property
    def inputs(self) -> tuple[Tensor, Tensor]:
        """What an encoder takes."""
        return self.ids, self.attention_mask


class Reader:
    """Turns sentences into what an encoder takes; BERT's special tokens come after the words.

    Attributes:
        vocab: every token by its id.
        pad_id, cls_id, mask_id: ids of the special tokens.
    """

    def __init__(self, world: Storyland) -> None:
        self.vocab = [*world.vocab, "[PAD]", "[CLS]", "[MASK]"]
        self.token_to_id = {token: i for i, token in enumerate(self.vocab)}
        self.pad_id, self.cls_id, self.mask_id = range(len(world.vocab), len(self.vocab))

    def batch(self, sentences: Iterable[Sequence[str]]) -> Batch:
        """Tokens of sentences ("[MASK]" may stand among them) to tensors."""
        rows = [[self.cls_id, *(self.token_to_id[token] for token in s)] for s in sentences]
        ids = pad_rows(rows, self.pad_id)
        real = ids != self.pad_id
        return Batch(ids, real.long(), ~real | (ids == self.cls_id))

    def tags(self, sentences: Iterable[Sentence]) -> Int64[Tensor, "n time"]:
        """The tags as classes, -100 at [CLS] and padding. A word is one token here."""
        return pad_rows(
            [
                align_labels([TAGS.index(tag) for tag in s.tags], [None, *range(len(s.tags))])
                for s in sentences
            ],
            -100,
        )


def encoder_config(reader: Reader) -> EncoderConfig:
    """A BERT of 0.1 million parameters."""
    return EncoderConfig(
        len(reader.vocab), max_length=16, width=64, n_layers=2, n_heads=4, ffn_width=128
    )


def new_masked_lm(config: EncoderConfig, generator: torch.Generator) -> MaskedLM:
    """A fresh model. Its weights are drawn larger than BERT's, since it is so narrow."""
    model = MaskedLM(config)
    initialise(model, generator, deviation=config.width**-0.5)
    return model


def pretrain(
    reader: Reader,
    text: Batch,
    *,
    seed: int,
    steps: int = 400,
    batch_size: int = 64,
    probability: float = 0.3,
) -> tuple[MaskedLM, list[float]]:
    """Masked language modelling. Returns the model and the loss of each step."""
    generator = torch.Generator().manual_seed(seed)
    model = new_masked_lm(encoder_config(reader), generator)

    def next_loss(generator: torch.Generator) -> Tensor:
        rows = text[torch.randint(len(text), (batch_size,), generator=generator)]
        vocab = len(reader.vocab)
        ids, labels = mask_tokens(
            rows.ids, rows.special_mask, reader.mask_id, vocab, probability, generator
        )
        return masked_lm_loss(model(ids, rows.attention_mask), labels)

    history = train(
        model,
        next_loss,
        steps=steps,
        generator=generator,
        learning_rate=5e-3,
        warmup=steps // 10,
        progress=False,
    )
    return model, [row["loss"] for row in history]


def learn_next_word_unmasked(
    reader: Reader, text: Batch, *, seed: int, steps: int = 100, batch_size: int = 64
) -> tuple[MaskedLM, list[float]]:
    """What must go wrong: the same model learns to tell the *next* word, which it can see.

    Returns the model and the loss of each step.
    """
    generator = torch.Generator().manual_seed(seed)
    model = new_masked_lm(encoder_config(reader), generator)
    labels = text.ids.masked_fill(text.attention_mask == 0, -100)

    def next_loss(generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(text), (batch_size,), generator=generator)
        return causal_lm_loss(model(*text[rows].inputs), labels[rows])

    history = train(
        model,
        next_loss,
        steps=steps,
        generator=generator,
        learning_rate=5e-3,
        warmup=steps // 10,
        progress=False,
    )
    return model, [row["loss"] for row in history]


@torch.no_grad()
def shares_predicted(model: MaskedLM, text: Batch) -> dict[str, float]:
    """Nothing is hidden: how often the likeliest word at a position is the one that stands there,
    and how often the one after it."""
    guesses = model(*text.inputs).argmax(-1)
    real = text.attention_mask.bool() & ~text.special_mask
    this = (guesses == text.ids)[real].double().mean().item()
    following = real[:, :-1] & real[:, 1:]
    after = (guesses[:, :-1] == text.ids[:, 1:])[following].double().mean().item()
    return {"the word itself": this, "the next word": after}


Classifier = TypeVar("Classifier", SequenceClassifier, TokenClassifier)


def adapt(
    pretrained: Encoder,
    head: type[Classifier],
    n_classes: int,
    method: Method,
    generator: torch.Generator,
) -> Classifier:
    """A classifier around a copy of the encoder, of which the method decides what will train."""
    if method == "from scratch":
        encoder = new_masked_lm(pretrained.config, generator).encoder
    else:
        encoder = copy.deepcopy(pretrained)
    if method == "features":
        encoder.requires_grad_(False)
    if method == "LoRA":
        add_lora(encoder, rank=4, alpha=8.0, generator=generator)
    return head(encoder, n_classes, generator)


def fit(
    pretrained: Encoder,
    head: type[Classifier],
    n_classes: int,
    method: Method,
    text: Batch,
    labels: Tensor,
    *,
    seed: int,
    steps: int = 150,
    batch_size: int = 32,
) -> Classifier:
    """`adapt`, then train on the labels."""
    generator = torch.Generator().manual_seed(seed)
    model = adapt(pretrained, head, n_classes, method, generator)
    fine_tune(
        model,
        text.inputs,
        labels,
        steps=steps,
        generator=generator,
        learning_rate=LEARNING_RATE[method],
        batch_size=batch_size,
        progress=False,
    )
    return model


# Sentiment, and the bag of words it is compared with.


class BagOfWords(nn.Module):
    """P(class | text) from the words alone: each has a weight for each class, and they add up."""

    def __init__(self, vocab_size: int, n_classes: int) -> None:
        super().__init__()
        self.weight = nn.Embedding(vocab_size, n_classes)
        nn.init.zeros_(self.weight.weight)

    def forward(
        self, ids: Int64[Tensor, "batch time"], attention_mask: Int64[Tensor, "batch time"]
    ) -> Float[Tensor, "batch classes"]:
        return (self.weight(ids) * attention_mask[:, :, None]).sum(1)


def fit_bag_of_words(
    reader: Reader, text: Batch, labels: Tensor, *, seed: int, steps: int = 400
) -> BagOfWords:
    """Logistic regression on which words there are."""
    model = BagOfWords(len(reader.vocab), 2)
    fine_tune(
        model,
        text.inputs,
        labels,
        steps=steps,
        generator=torch.Generator().manual_seed(seed),
        learning_rate=3e-2,
        batch_size=256,
        progress=False,
    )
    return model


@torch.no_grad()
def sentiment_accuracy(
    model: nn.Module, text: Batch, endings: Sequence[Sentence]
) -> dict[str, float]:
    """Share of right answers, on plain and on negated sentences."""
    right = model(*text.inputs).argmax(-1) == torch.tensor([s.sentiment for s in endings])
    negated = torch.tensor([s.negated for s in endings])
    return {
        "plain": right[~negated].double().mean().item(),
        "negated": right[negated].double().mean().item(),
    }


@torch.no_grad()
def right_kind_of_feeling(
    model: MaskedLM, world: Storyland, reader: Reader, endings: Sequence[Sentence]
) -> float:
    """Hide the first feeling of each negated sentence ("not [MASK] but happy"): how much of what
    the model gives to feelings goes to the right kind, good or bad. The other feeling tells it."""
    kinds = {
        word: kind for kind in ("good feelings", "bad feelings") for word in world.categories[kind]
    }
    of_kind = {
        kind: [reader.token_to_id[word] for word in world.categories[kind]]
        for kind in ("good feelings", "bad feelings")
    }
    shares = []
    for tokens in (s.tokens for s in endings if s.negated):
        place = next(i for i, token in enumerate(tokens) if token in kinds)
        shown = [*tokens[:place], "[MASK]", *tokens[place + 1 :]]
        probs = model(*reader.batch([shown]).inputs)[0, place + 1].softmax(-1)
        good, bad = (probs[ids].sum().item() for ids in of_kind.values())
        shares.append((good if kinds[tokens[place]] == "good feelings" else bad) / (good + bad))
    return sum(shares) / len(shares)


# Entities.


def spans(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """The entities in BIO tags: (first token, last token + 1, kind).

    An I- that continues nothing of its kind begins an entity, as in CoNLL's evaluation.
    """
    found, start, kind = set(), 0, ""
    for i, tag in enumerate([*tags, "O"]):
        continues = tag.startswith("I-") and tag[2:] == kind
        if kind and not continues:
            found.add((start, i, kind))
        if not continues:
            start, kind = i, tag[2:]
    return found


def entity_f1(expected: Iterable[Sequence[str]], got: Iterable[Sequence[str]]) -> float:
    """Harmonic mean of precision and recall over whole entities: place and kind must be right."""
    n_right = n_expected = n_got = 0
    for one, other in zip(expected, got, strict=True):
        true, found = spans(one), spans(other)
        n_right += len(true & found)
        n_expected += len(true)
        n_got += len(found)
    return 2 * n_right / max(1, n_expected + n_got)


@torch.no_grad()
def predict_tags(
    model: TokenClassifier, text: Batch, sentences: Sequence[Sentence]
) -> list[list[str]]:
    """The likeliest tag of each word."""
    classes = model(*text.inputs).argmax(-1)[:, 1:].tolist()  # without [CLS]
    return [[TAGS[i] for i in row[: len(s.tokens)]] for row, s in zip(classes, sentences)]


def most_frequent_tags(
    labelled: Iterable[Sentence], sentences: Iterable[Sentence]
) -> list[list[str]]:
    """The tag each word had most often; O for a word without any. A list of names, no reading."""
    counts: dict[str, dict[str, int]] = {}
    for sentence in labelled:
        for token, tag in zip(sentence.tokens, sentence.tags):
            of_token = counts.setdefault(token, {})
            of_token[tag] = of_token.get(tag, 0) + 1
    best = {token: max(tags, key=tags.__getitem__) for token, tags in counts.items()}
    return [[best.get(token, "O") for token in s.tokens] for s in sentences]


def f1_by_labels(
    pretrained: Encoder,
    reader: Reader,
    labelled: Sequence[Sentence],
    test: Sequence[Sentence],
    counts: Sequence[int],
    *,
    seed: int,
    steps: int = 80,
) -> dict[str, list[float]]:
    """Entity F1 on test sentences for each method and number of labelled sentences."""
    text, labels = reader.batch(s.tokens for s in labelled), reader.tags(labelled)
    test_text, truth = reader.batch(s.tokens for s in test), [s.tags for s in test]
    scores: dict[str, list[float]] = {method: [] for method in METHODS}
    for method in METHODS:
        for n in counts:
            model = fit(
                pretrained,
                TokenClassifier,
                len(TAGS),
                method,
                text[slice(n)],
                labels[:n],
                seed=seed,
                steps=steps,
                batch_size=16,
            )
            scores[method].append(entity_f1(truth, predict_tags(model, test_text, test)))
    return scores


# Hidden words: what the model believes, and what is true.


def true_fill_in(world: Storyland, tokens: Sequence[str], place: int) -> Float[Tensor, "vocab"]:
    """The exact probability of each word at a place of an *opening* sentence, given all others.

    P(word | the others) is proportional to P(the whole sentence with that word). Storyland knows
    the latter exactly for how a story begins.
    """
    ids = world.ids(tokens)
    possible = world.next_token_probs(ids[:place]).nonzero()[:, 0]
    log_probs = torch.full((len(world.vocab),), -torch.inf, dtype=torch.float64)
    for candidate in possible.tolist():
        ids[place] = candidate
        log_probs[candidate] = world.log_probs(ids).sum()
    return log_probs.softmax(0)


@torch.no_grad()
def hidden_word_losses(
    model: MaskedLM, world: Storyland, reader: Reader, openings: Sequence[Sentence], seed: int
) -> dict[str, float]:
    """Hide one word of each opening: the mean surprise at it (nats), of the model and of the best
    possible guess, with both sides and with the left side alone."""
    generator = torch.Generator().manual_seed(seed)
    names = ("model, both sides", "model, left side", "best, both sides", "best, left side")
    losses: dict[str, list[float]] = {name: [] for name in names}
    for sentence in openings:
        tokens = sentence.tokens
        place = int(torch.randint(len(tokens) - 1, (1,), generator=generator))  # not the full stop
        hidden = world.token_to_id[tokens[place]]
        left = [*tokens[:place], "[MASK]"]
        for name, shown in zip(names[:2], ([*left, *tokens[place + 1 :]], left)):
            logits = model(*reader.batch([shown]).inputs)[0, place + 1]
            losses[name].append(-logits.log_softmax(-1)[hidden].item())
        both = true_fill_in(world, tokens, place)[hidden]
        alone = world.next_token_probs(world.ids(tokens[:place]))[hidden]
        losses["best, both sides"].append(-both.log().item())
        losses["best, left side"].append(-alone.log().item())
    return {name: sum(values) / len(values) for name, values in losses.items()}


# Pictures as sequences of patches.


class PatchClassifier(nn.Module):
    """P(digit | picture): patches in place of tokens, and the rest as ever (Dosovitskiy et al.
    2020)."""

    def __init__(
        self,
        patch: int,
        time: int,
        generator: torch.Generator,
        width: int = 48,
        n_layers: int = 2,
        positions: bool = True,
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(patch, width)  # in place of the table of tokens
        self.position_embedding = nn.Embedding(time, width)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, n_heads=4, ffn_width=2 * width, norm="post")
            for _ in range(n_layers)
        )
        self.head = nn.Linear(width, 10)
        self.positions = positions
        initialise(self, generator, deviation=width**-0.5)

    def forward(self, patches: Float[Tensor, "batch time patch"]) -> Float[Tensor, "batch 10"]:
        x = self.embed(patches)  # [batch, time, width]
        if self.positions:
            x = x + self.position_embedding.weight
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


def fit_digits(
    digits: Digits, *, seed: int, steps: int = 300, positions: bool = True, size: int = 2
) -> PatchClassifier:
    """Train on pictures cut into squares of `size` pixels."""
    generator = torch.Generator().manual_seed(seed)
    patches = to_patches(digits.images, size)
    model = PatchClassifier(patches.shape[2], patches.shape[1], generator, positions=positions)
    fine_tune(
        model,
        (patches,),
        digits.labels,
        steps=steps,
        generator=generator,
        learning_rate=5e-3,
        batch_size=32,
        weight_decay=0.01,
        progress=False,
    )
    return model


@torch.no_grad()
def digit_predictions(model: PatchClassifier, digits: Digits, size: int = 2) -> Int64[Tensor, "n"]:
    """The likeliest digit of each picture."""
    return model(to_patches(digits.images, size)).argmax(-1)


def nearest_digits(known: Digits, digits: Digits) -> Int64[Tensor, "n"]:
    """The digit on the known picture that is most similar, pixel by pixel: nothing is learned."""
    distance = torch.cdist(digits.images.flatten(1), known.images.flatten(1))
    return known.labels[distance.argmin(1)]
