"""What `decoder.DecoderLM` demands."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib import decoder
from course_lib.attention import causal_mask, padding_mask
from course_lib.checks.exercise import Case, Exercise, compares_gradients
from course_lib.exercises.decoder.shared import GPT, LLAMA, build

DecoderLM = Exercise("decoder.DecoderLM", points=4, reference=decoder.DecoderLM, tolerance=1e-4)


def _decoder_parameters(solution, config):
    return {name: list(value.shape) for name, value in solution(config).state_dict().items()}


def _logits(solution, config, weights_seed, ids):
    return build(solution, config, weights_seed)(ids)


def _logits_with_padding(solution, config, weights_seed, ids, attention_mask):
    """The logits at real tokens; what stands at padding is nobody's business."""
    logits = build(solution, config, weights_seed)(ids, attention_mask)
    if not isinstance(logits, Tensor) or logits.shape[:2] != ids.shape:
        return logits
    return logits[attention_mask.bool()]


def _two_calls(solution, config, weights_seed, ids, attention_mask, second):
    """The same model is asked twice, with another text and no padding the second time."""
    model = build(solution, config, weights_seed)
    logits = model(ids, attention_mask)
    if isinstance(logits, Tensor) and logits.shape[:2] == ids.shape:
        logits = logits[attention_mask.bool()]
    return [logits, model(second)]


def _embedded(solution, config, weights_seed, ids, positions):
    return build(solution, config, weights_seed).embed(ids, positions)


def _unembedded(solution, config, weights_seed, x):
    return build(solution, config, weights_seed).unembed(x)


@compares_gradients
def _gradient_of_tables(solution, config, weights_seed, ids):
    model = build(solution, config, weights_seed)
    logits = model(ids)
    if isinstance(logits, Tensor) and logits.requires_grad:
        logits.square().sum().backward()
    table = model.token_embedding.weight  # only now: where it lives in a sandbox, this fetches it
    return torch.zeros_like(table) if table.grad is None else table.grad


@DecoderLM.cases
def _(draw):
    gpt, llama = decoder.DecoderConfig(**GPT), decoder.DecoderConfig(**LLAMA)

    def case(about, ids, config=gpt, observe=_logits, **arguments):
        seed = draw.random.randrange(10_000)
        arguments = {"config": config, "weights_seed": seed, "ids": ids, **arguments}
        return Case(about, arguments, observe)

    yield Case("the names and shapes of its parameters", {"config": gpt}, _decoder_parameters)
    yield case("one token", draw.ids(11, 1, 1))
    yield case("one text", draw.ids(11, 1, 4))
    yield case("several texts", draw.ids(11, 3, 5))
    yield case("as many tokens as there are positions", draw.ids(11, 2, 8))
    yield case("a head with a table of its own", draw.ids(11, 2, 3), replace(gpt, tied=False))
    yield case("three layers", draw.ids(11, 2, 3), replace(gpt, n_layers=3))
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    yield case("texts of different length, padded on the left", draw.ids(11, 2, 5),
               observe=_logits_with_padding, attention_mask=mask)  # fmt: skip
    yield case("with the parts of a LLaMA", draw.ids(11, 2, 4), llama)
    yield case("with the parts of a LLaMA, padded on the left", draw.ids(11, 2, 5), llama,
               observe=_logits_with_padding, attention_mask=mask)  # fmt: skip
    yield case("one padded text, then others without padding", draw.ids(11, 2, 5),
               observe=_two_calls, attention_mask=mask, second=draw.ids(11, 3, 4))  # fmt: skip

    def part(about, observe, **arguments):
        seed = draw.random.randrange(10_000)
        return Case(about, {"config": gpt, "weights_seed": seed, **arguments}, observe)

    places = {"ids": draw.ids(11, 2, 3), "positions": torch.tensor([[5, 6, 7], [2, 0, 1]])}
    yield part("`embed` with positions of its caller", _embedded, **places)
    yield part("`unembed` of a single vector", _unembedded, x=draw.normal(8))
    yield part("`unembed` of one vector a text", _unembedded, x=draw.normal(3, 8))
    yield case("the gradient of the token table", draw.ids(11, 1, 3), observe=_gradient_of_tables)
    if draw.hidden:
        larger = replace(gpt, vocab_size=30, max_length=20, width=12, n_heads=3, n_layers=4)
        yield case("a larger model", draw.ids(30, 3, 17), larger)


class _Decoder(decoder.DecoderLM):
    """The right parts; the misconceptions put them together."""

    def seen(self, ids, attention_mask):
        return decoder.seen_tokens(ids, attention_mask, self.config.vocab_size)

    def through_blocks(self, x, mask, positions):
        for block in self.blocks:
            x = block(x, mask, positions)
        return x


@DecoderLM.misconception
class SeesTheFuture(_Decoder):
    """Every position of yours may look at all tokens, the later ones included. Then the model reads
    off the next token instead of predicting it. The mask has to be causal."""

    def forward(self, ids, attention_mask=None):
        seen = self.seen(ids, attention_mask)
        positions, _ = decoder.positions_and_mask(seen, ids.shape[1])
        mask = padding_mask(seen).expand(-1, 1, ids.shape[1], -1)
        return self.unembed(
            self.norm(self.through_blocks(self.embed(ids, positions), mask, positions))
        )


@DecoderLM.misconception
class ForgetsThePositions(_Decoder):
    """The position table is never added: only the token vectors enter the first block."""

    def embed(self, ids, positions):
        return self.token_embedding(ids)


@DecoderLM.misconception
class MultipliesByThePositions(_Decoder):
    """You multiply token and position vectors. They are added."""

    def embed(self, ids, positions):
        if self.position_embedding is None:
            return self.token_embedding(ids)
        return self.token_embedding(ids) * self.position_embedding(positions)


@DecoderLM.misconception
class ScalesTheTokenVectors(_Decoder):
    """You multiply the token vectors by the root of the width, as the first transformer did. A GPT
    adds the two tables as they are."""

    def embed(self, ids, positions):
        if self.position_embedding is None:
            return self.token_embedding(ids)
        scale = self.config.width**0.5
        return scale * self.token_embedding(ids) + self.position_embedding(positions)


@DecoderLM.misconception
class LeavesAfterTheFirstBlock(_Decoder):
    """Only your first block is used: a `return` stands inside the loop. Move it out, so that every
    block has its turn."""

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        x = self.embed(ids, positions)
        for block in self.blocks:
            x = block(x, mask, positions)
            return self.unembed(self.norm(x))


@DecoderLM.misconception
class ForgetsTheLastNorm(_Decoder):
    """After the last block the stream goes through `self.norm` once more, before it is compared
    with the table. Pre-norm blocks leave the stream itself unnormalised."""

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        return self.unembed(self.through_blocks(self.embed(ids, positions), mask, positions))


@DecoderLM.misconception
class NormalisesBeforeTheBlocks(_Decoder):
    """You apply `self.norm` before the first block. It belongs after the last one."""

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        x = self.norm(self.embed(ids, positions))
        return self.unembed(self.through_blocks(x, mask, positions))


@DecoderLM.misconception
class NormalisesAfterEveryBlock(_Decoder):
    """You apply `self.norm` after every block. Each block has norms of its own; this one comes
    once, at the very end."""

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        x = self.embed(ids, positions)
        for block in self.blocks:
            x = self.norm(block(x, mask, positions))
        return self.unembed(x)


@DecoderLM.misconception
class ReturnsTheStream(_Decoder):
    """You return the vectors of the stream. One step is missing: `unembed`, which turns each into a
    score for every id."""

    def unembed(self, x):
        return x


@DecoderLM.misconception
class ReturnsProbabilities(_Decoder):
    """You return probabilities. A model returns logits; the loss takes the softmax itself, and
    would do it a second time."""

    def unembed(self, x):
        return super().unembed(x).softmax(-1)


@DecoderLM.misconception
class ReturnsLogProbabilities(_Decoder):
    """You return log-probabilities. A model returns the plain logits; the loss normalises them."""

    def unembed(self, x):
        return super().unembed(x).log_softmax(-1)


@DecoderLM.misconception
class AnswersForTheLastTokenOnly(_Decoder):
    """You return the logits after the last token alone. In training every position predicts its
    next token, so all are needed: [batch, time, vocab]."""

    def forward(self, ids, attention_mask=None):
        return super().forward(ids, attention_mask)[:, -1]


@DecoderLM.misconception
class ShiftsInsideTheModel(_Decoder):
    """Your logits lose their last position. The loss does the shift, once; a model never shifts."""

    def forward(self, ids, attention_mask=None):
        return super().forward(ids, attention_mask)[:, :-1]


@DecoderLM.misconception
class FeedsEveryBlockTheSameInput(_Decoder):
    """Every block of yours reads the embeddings, and only the last one's answer counts. Each block
    reads what the block before it has left: x = block(x, ...)."""

    def through_blocks(self, x, mask, positions):
        for block in self.blocks:
            result = block(x, mask, positions)
        return result

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        x = self.through_blocks(self.embed(ids, positions), mask, positions)
        return self.unembed(self.norm(x))


@DecoderLM.misconception
class DropsWhatTheBlocksReturn(_Decoder):
    """You call the blocks and drop what they return, so the embeddings go straight to the norm. A
    block does not change x; it returns a new one: x = block(x, ...)."""

    def forward(self, ids, attention_mask=None):
        positions, _ = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        return self.unembed(self.norm(self.embed(ids, positions)))


@DecoderLM.misconception
class AddsEveryBlockToTheStreamAgain(_Decoder):
    """You add each block's answer to the stream. The block has done so already: its answer *is* the
    new stream."""

    def forward(self, ids, attention_mask=None):
        positions, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        x = self.embed(ids, positions)
        for block in self.blocks:
            x = x + block(x, mask, positions)
        return self.unembed(self.norm(x))


@DecoderLM.misconception
class AlwaysUsesTheTokenTable(_Decoder):
    """Your head is always the token table. When the config is not tied, there is `self.head`, with
    weights of its own."""

    def unembed(self, x):
        return F.linear(x, self.token_embedding.weight)


@DecoderLM.misconception
class MultipliesWithoutTransposing(_Decoder):
    """The table is [vocab, width], one row for each id, so x meets its transpose:
    `x @ table.weight.T`, which is what `F.linear` does."""

    def unembed(self, x):
        return x @ (self.token_embedding if self.head is None else self.head).weight


@DecoderLM.misconception
class CallsAHeadThatIsNotThere(_Decoder):
    """With a tied config `self.head` is None, and None cannot be called. The token table's weight
    does the head's work there."""

    def unembed(self, x):
        return self.head(x)


@DecoderLM.misconception
class IgnoresThePadding(_Decoder):
    """Your attention mask is not used: padding is looked at, and it takes up positions."""

    def forward(self, ids, attention_mask=None):
        return super().forward(ids)


@DecoderLM.misconception
class GivesPaddingAPosition(_Decoder):
    """Padding is masked in yours, but it takes up positions: a text that is padded by two starts at
    position 2. `positions_and_mask` counts real tokens only."""

    def forward(self, ids, attention_mask=None):
        _, mask = decoder.positions_and_mask(self.seen(ids, attention_mask), ids.shape[1])
        positions = torch.arange(ids.shape[1]).expand_as(ids)
        x = self.through_blocks(self.embed(ids, positions), mask, positions)
        return self.unembed(self.norm(x))


@DecoderLM.misconception
class CountsThePositionsInEmbed(_Decoder):
    """Your `embed` counts 0, 1, 2, ... by itself and overlooks `positions`. Its caller knows
    better: padding takes up no position, and with a cache a text goes on in the middle."""

    def embed(self, ids, positions):
        return super().embed(ids, torch.arange(ids.shape[1]).expand_as(ids))


@DecoderLM.misconception
class UnembedsWholeBatchesOnly(_Decoder):
    """Your `unembed` takes [batch, time, width] alone. It gets [..., width]: where only the last
    token is scored there is no axis of time. `F.linear`, or `@` with the transposed table, takes
    any number of axes."""

    def unembed(self, x):
        head = self.token_embedding if self.head is None else self.head
        return torch.einsum("btw,vw->btv", x, head.weight)


@DecoderLM.misconception
class RemembersTheFirstPadding(_Decoder):
    """Your model keeps the attention mask of an earlier call and uses it for a later text. Each
    call brings its own, or none."""

    def forward(self, ids, attention_mask=None):
        if attention_mask is not None:
            self.kept = attention_mask
        mask = getattr(self, "kept", None)
        if mask is not None and mask.shape != ids.shape:
            mask = torch.ones_like(ids)
            mask[:, : int((self.kept == 0).sum(1).max())] = 0
        return super().forward(ids, mask)


@DecoderLM.alternative
class WithItsOwnMask(_Decoder):
    """Mask and positions by hand, the blocks opened up."""

    def forward(self, ids, attention_mask=None):
        batch, time = ids.shape
        seen = torch.ones(batch, time) if attention_mask is None else attention_mask
        positions = (seen.long().cumsum(1) - 1).clamp(min=0)
        mask = causal_mask(time)[None, None] & seen.bool()[:, None, None]
        x = self.token_embedding.weight[ids]
        if self.position_embedding is not None:
            x = x + self.position_embedding.weight[positions]
        for block in self.blocks:
            x = x + block.attention(block.norm1(x), mask, positions)
            x = x + block.feed_forward(block.norm2(x))
        table = self.token_embedding.weight if self.config.tied else self.head.weight
        return self.norm(x) @ table.T


@DecoderLM.alternative
class OneTextAfterTheOther(nn.Module):
    """No padding ever arises when each text is read alone."""

    def __init__(self, config, generator=None):
        super().__init__()
        inner = decoder.DecoderLM(config, generator)
        self.config = config
        for name, part in inner.named_children():
            setattr(self, name, part)
        if config.positions == "rope":
            self.position_embedding = None
        if config.tied:
            self.head = None

    def embed(self, ids, positions):
        x = self.token_embedding(ids)
        return x if self.position_embedding is None else x + self.position_embedding(positions)

    def unembed(self, x):
        return x @ (self.token_embedding if self.head is None else self.head).weight.T

    def forward(self, ids, attention_mask=None):
        batch, time = ids.shape
        lengths = [time] * batch if attention_mask is None else attention_mask.sum(1).tolist()
        rows = []
        for row, length in zip(ids, lengths):
            text = row[time - length :]
            positions = torch.arange(length)[None]
            x = self.embed(text[None], positions)
            for block in self.blocks:
                x = block(x, causal_mask(length)[None, None], positions)
            rows.append(F.pad(self.unembed(self.norm(x)[0]), (0, 0, time - length, 0)))
        return torch.stack(rows)
