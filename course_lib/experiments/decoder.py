"""Language models against a world whose entropy is known (notebook 06 and its benchmark)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from course_lib.data.storyland import Story, Storyland
from course_lib.decoder import DecoderConfig
from course_lib.ngram import Counts, ngram_probs, smoothed_probability
from course_lib.objectives import causal_lm_loss
from course_lib.training import sample_windows, train

IGNORED = -100
PLOTS = ("role", "encounter")  # of Storyland's small world: learnt within a minute
STEPS = 1000
BATCH, LENGTH = 16, 64  # windows a step, tokens a window
LEARNING_RATES = {"LSTM": 2e-2, "transformer": 1e-2}  # half of each was tried, and worse


@dataclass(frozen=True)
class HeldOut:
    """Stories that no model was trained on.

    Attributes:
        ids: a row for each story, with the "<end>" of the one before in front; filled with -100.
        entropy: what a model that knows the whole world loses on just these stories, nats a token.
    """

    ids: Int64[Tensor, "stories time"]
    entropy: float


def held_out(world: Storyland, n_stories: int, seed: int) -> HeldOut:
    """Stories in rows, from the start of each, so that every model sees all that it may know."""
    stories = list(world.stories(n_stories, seed))
    entropy = -torch.cat([story.log_probs for story in stories]).mean().item()
    return HeldOut(_rows(world, stories), entropy)


def _rows(world: Storyland, stories: Sequence[Story]) -> Int64[Tensor, "stories time"]:
    longest = max(len(story.tokens) for story in stories)
    ids = torch.full((len(stories), 1 + longest), IGNORED)
    ids[:, 0] = world.end_id
    for row, story in zip(ids, stories, strict=True):
        row[1 : 1 + len(story.tokens)] = story.ids
    return ids


@torch.no_grad()
def held_out_loss(model: nn.Module, stories: HeldOut) -> float:
    """Mean loss on the stories, nats a token. Filler stands at the right: nobody looks at it."""
    logits = model(stories.ids.clamp(min=0))
    return causal_lm_loss(logits, stories.ids, ignore_index=IGNORED).item()


def ngram_loss(counts: Counts, n: int, stories: HeldOut, vocab_size: int) -> float:
    """Mean loss of the smoothed n-gram model on the stories, nats a token."""
    losses = []
    for row in stories.ids.tolist():
        row = [token for token in row if token != IGNORED]
        for place in range(1, len(row)):
            context = row[max(0, place - n + 1) : place]
            losses.append(smoothed_probability(counts, context, row[place], vocab_size))
    return -torch.tensor(losses, dtype=torch.float64).log().mean().item()


class LSTMLanguageModel(nn.Module):
    """What one used before transformers: ids [batch, time] in, logits [batch, time, vocab] out.

    Args:
        vocab_size: how many ids there are.
        width: of the vectors and of the state.
        n_layers: LSTMs on top of each other.
        generator: draws the first weights.
    """

    def __init__(
        self, vocab_size: int, width: int, n_layers: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.lstm = nn.LSTM(width, width, n_layers, batch_first=True)
        self.head = nn.Linear(width, vocab_size)
        bound = width**-0.5  # torch's own choice for an LSTM
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, ids: Int64[Tensor, "batch time"]) -> Float[Tensor, "batch time vocab"]:
        hidden, _ = self.lstm(self.token_embedding(ids))
        return self.head(hidden)


def decoder_config(vocab_size: int) -> DecoderConfig:
    """The transformer of the race: a small GPT with rotary positions."""
    return DecoderConfig(
        vocab_size,
        max_length=128,
        width=64,
        n_layers=2,
        n_heads=4,
        ffn_width=256,
        positions="rope",
    )


def loss_curve(
    model: nn.Module,
    text: Int64[Tensor, "n_tokens"],
    stories: HeldOut,
    *,
    steps: int,
    learning_rate: float,
    seed: int,
    on_step: Callable[[int, nn.Module], Any] | None = None,
) -> dict[int, float]:
    """Train a language model on windows of a text.

    Returns:
        The loss on the held-out stories by the number of tokens read, nats a token.
    """
    looks = {round(steps * 1.7**-n) for n in range(9)}  # closer together at the beginning
    curve = {}

    def next_loss(generator: torch.Generator) -> Float[Tensor, ""]:
        ids = sample_windows(text, BATCH, LENGTH, generator)
        return causal_lm_loss(model(ids), ids)

    def look(step: int, model: nn.Module) -> None:
        if step in looks:
            curve[step * BATCH * LENGTH] = held_out_loss(model, stories)
        if on_step is not None:
            on_step(step, model)

    train(
        model,
        next_loss,
        steps=steps,
        generator=torch.Generator().manual_seed(seed),
        learning_rate=learning_rate,
        warmup=steps // 20,
        weight_decay=0.01,
        progress=False,
        on_step=look,
    )
    return curve


# What a model writes. A world of which every probability is known can also say whether a story
# could have been told in it.


@torch.no_grad()
def write_stories(
    model: nn.Module, end_id: int, n_stories: int, longest: int, generator: torch.Generator
) -> list[list[int]]:
    """Draw token after token until the end of each story; at most `longest` tokens."""
    ids = torch.full((n_stories, 1), end_id)
    for _ in range(longest):
        probs = model(ids)[:, -1].softmax(-1)
        ids = torch.cat([ids, torch.multinomial(probs, 1, generator=generator)], dim=1)
        if (ids[:, 1:] == end_id).any(1).all():
            break
    return [_until_end(row, end_id) for row in ids[:, 1:].tolist()]


def write_ngram_stories(
    counts: Counts,
    n: int,
    end_id: int,
    n_stories: int,
    longest: int,
    vocab_size: int,
    generator: torch.Generator,
) -> list[list[int]]:
    """The same with the n-gram model (not smoothed: it says only what it has seen)."""
    stories = []
    for _ in range(n_stories):
        row = [end_id]
        while len(row) <= longest and (len(row) == 1 or row[-1] != end_id):
            probs = ngram_probs(counts, row[max(0, len(row) - n + 1) :], vocab_size)
            row.append(int(torch.multinomial(probs, 1, generator=generator)))
        stories.append(row[1:])
    return stories


def _until_end(row: list[int], end_id: int) -> list[int]:
    return row[: row.index(end_id) + 1] if end_id in row else row


def share_possible(world: Storyland, stories: Sequence[Sequence[int]]) -> float:
    """How many of the stories could have been told in this world, from beginning to end."""
    possible = [
        story[-1] == world.end_id and bool(world.log_probs(story).isfinite().all())
        for story in stories
    ]
    return sum(possible) / len(possible)
