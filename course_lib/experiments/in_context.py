"""What notebook 09 and `benchmarks/in_context.py` measure."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from course_lib.attention import MultiHeadAttention, causal_mask, record_attention
from course_lib.data.word_tasks import REVIEWS, SENTIMENTS
from course_lib.decoder import DecoderLM
from course_lib.in_context import LanguageModel, induction_score
from course_lib.initialisation import initialise
from course_lib.tokenization import BPETokenizer
from course_lib.training import train

Pairs = list[tuple[str, str]]

# ---- labels


def draw_reviews(n_examples: int, n_questions: int, seed: int) -> tuple[Pairs, Pairs]:
    """Examples and questions from the reviews: as many good as bad in each, none in both.

    The questions are the same for every seed: the last of each sort.
    """
    shuffle = random.Random(seed).shuffle
    by_sort = [[item for item in REVIEWS if item[1] == sentiment] for sentiment in SENTIMENTS]
    questions = [item for sort in by_sort for item in sort[-n_questions // 2 :]]
    examples = []
    for sort in by_sort:
        rest = sort[: -n_questions // 2]
        shuffle(rest)
        examples += rest[: n_examples // 2]
    shuffle(examples)
    return examples, questions


def flipped(examples: Pairs) -> Pairs:
    """Every label turned round."""
    other = dict(zip(SENTIMENTS, reversed(SENTIMENTS), strict=True))
    return [(review, other[sentiment]) for review, sentiment in examples]


def half_flipped(examples: Pairs, seed: int) -> Pairs:
    """Labels that say nothing: of each sort half are turned round, chance says which."""
    wrong = []
    for sentiment in SENTIMENTS:
        sort = [i for i, item in enumerate(examples) if item[1] == sentiment]
        wrong += random.Random(seed).sample(sort, len(sort) // 2)
    turned = flipped(examples)
    return [turned[i] if i in wrong else examples[i] for i in range(len(examples))]


def label_log_likelihoods(
    model: LanguageModel, tokenizer: BPETokenizer, prompts: Sequence[str], labels: Sequence[str]
) -> Float[Tensor, "prompts labels"]:
    """`option_log_likelihoods` of many prompts at once, for labels of one token each.

    Raises:
        ValueError: a label has more than one token.
    """
    tokens = [tokenizer.encode(label) for label in labels]
    if any(len(token) != 1 for token in tokens):
        raise ValueError(f"labels must be of one token each, got {list(labels)}")
    rows = [tokenizer.encode(prompt) for prompt in prompts]
    longest = max(map(len, rows))
    with torch.no_grad():
        logits = model(torch.tensor([row + [0] * (longest - len(row)) for row in rows]))
    last = logits[torch.arange(len(rows)), torch.tensor([len(row) - 1 for row in rows])]
    return last.log_softmax(dim=-1)[:, [token for (token,) in tokens]]


def share_right(scores: Float[Tensor, "questions labels"], questions: Pairs) -> float:
    """How often the best label is the right one."""
    right = torch.tensor([SENTIMENTS.index(sentiment) for _, sentiment in questions])
    return (scores.argmax(dim=-1) == right).float().mean().item()


# ---- heads


@contextmanager
def heads_switched_off(model: DecoderLM, heads: Sequence[tuple[int, int]]) -> Iterator[None]:
    """In this block what the given heads, (layer, head), have to say counts for nothing."""
    d_k = model.config.width // model.config.n_heads

    def silence(head: int) -> Callable[[nn.Module, tuple[Tensor]], tuple[Tensor]]:
        def hook(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
            mixed = inputs[0].clone()  # all heads side by side, before they are mixed
            mixed[..., head * d_k : (head + 1) * d_k] = 0
            return (mixed,)

        return hook

    with ExitStack() as stack:
        for layer, head in heads:
            projection = model.blocks[layer].attention.out_proj
            stack.enter_context(projection.register_forward_pre_hook(silence(head)))
        yield


@torch.no_grad()
def induction_scores(model: nn.Module, ids: Int64[Tensor, "batch time"], period: int) -> Tensor:
    """The score of every head on texts that repeat themselves, [layers, heads]."""
    with record_attention() as weights:
        model(ids)
    return torch.stack([induction_score(layer, period) for layer in weights])


def ranked_heads(scores: Float[Tensor, "layers heads"]) -> list[tuple[int, int]]:
    """Every head as (layer, head), the highest score first."""
    order = scores.flatten().argsort(descending=True, stable=True).tolist()
    return [divmod(place, scores.shape[1]) for place in order]


def control_heads(
    scores: Float[Tensor, "layers heads"], chosen: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """As many heads as were chosen, in each layer as many, those of the lowest scores."""
    lowest_first = ranked_heads(scores)[::-1]
    layers = [layer for layer, _ in chosen]
    control = []
    for layer in sorted(set(layers)):
        same_layer = [head for head in lowest_first if head[0] == layer]
        control += same_layer[: layers.count(layer)]
    return control


# ---- induction heads, grown


class AttentionOnly(nn.Module):
    """A transformer of attention alone: no feed-forward, one head a layer (Elhage et al. 2021)."""

    def __init__(
        self, vocab: int, length: int, width: int, n_layers: int, generator: torch.Generator
    ):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocab, width), nn.Embedding(length, width)
        self.layers = nn.ModuleList(MultiHeadAttention(width, 1) for _ in range(n_layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(n_layers + 1))
        self.head = nn.Linear(width, vocab, bias=False)
        initialise(self, generator, n_residual=n_layers)
        for table in (self.tokens, self.positions):
            nn.init.normal_(table.weight, std=0.5, generator=generator)

    def forward(self, ids: Int64[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        time = ids.shape[1]
        x = self.tokens(ids) + self.positions.weight[:time]
        for layer, norm in zip(self.layers, self.norms):
            x = x + layer(norm(x), mask=causal_mask(time))
        return self.head(self.norms[-1](x))


VOCAB, LENGTH, PERIOD = 32, 32, 16


def repeating_texts(
    batch: int, periods: tuple[int, int], generator: torch.Generator
) -> Int64[Tensor, "batch time"]:
    """Random tokens that repeat themselves, in each row after another number of tokens.

    With one period for all, it would be enough to look a fixed number of places back.
    """
    low, high = periods
    period = torch.randint(low, high + 1, (batch, 1), generator=generator)
    tokens = torch.randint(VOCAB, (batch, high), generator=generator)
    return tokens.gather(1, torch.arange(LENGTH) % period)


@dataclass(frozen=True)
class Growth:
    """What was seen while a model learnt: one number a measurement, scores a list for each layer.

    `first` and `second` are the losses on the first and second half of texts whose second half
    repeats the first, nats; `induction` and `previous` the mean attention to what came next last
    time and to the token before.
    """

    steps: list[int]
    first: list[float]
    second: list[float]
    induction: list[list[float]]
    previous: list[list[float]]


def grow_induction_heads(
    n_layers: int, *, steps: int, every: int, seed: int = 0, width: int = 32
) -> tuple[AttentionOnly, Growth]:
    """Train an attention-only model on repeating texts, and look at it now and then."""
    generator = torch.Generator().manual_seed(seed)
    model = AttentionOnly(VOCAB, LENGTH, width, n_layers, generator)
    halves = torch.stack([torch.randperm(VOCAB, generator=generator)[:PERIOD] for _ in range(64)])
    texts = torch.cat([halves, halves], dim=1)  # no token twice within a half
    seen = Growth([], [], [], [[] for _ in range(n_layers)], [[] for _ in range(n_layers)])

    @torch.no_grad()
    def look(step: int, model: nn.Module) -> None:
        if step % every:
            return
        with record_attention() as weights:
            logits = model(texts)
        losses = F.cross_entropy(logits[:, :-1].mT, texts[:, 1:], reduction="none").mean(dim=0)
        seen.steps.append(step)
        seen.first.append(losses[: PERIOD - 1].mean().item())
        seen.second.append(losses[PERIOD:].mean().item())  # from the second token of the repeat
        for layer, attention in enumerate(weights):
            seen.induction[layer].append(induction_score(attention, PERIOD).item())
            before = attention.diagonal(offset=-1, dim1=-2, dim2=-1)
            seen.previous[layer].append(before.mean().item())

    def next_loss(generator: torch.Generator) -> Tensor:
        ids = repeating_texts(64, (6, PERIOD), generator)
        return F.cross_entropy(model(ids[:, :-1]).mT, ids[:, 1:])

    look(0, model)
    train(
        model, next_loss, steps=steps, generator=generator, learning_rate=3e-3, floor=3e-3,
        progress=False, on_step=look,
    )  # fmt: skip
    return model, seen
