"""What `encoder_decoder.EncoderDecoder` demands."""

from __future__ import annotations

import torch

from course_lib import encoder_decoder, objectives
from course_lib.attention import causal_mask, padding_mask
from course_lib.checks.exercise import Case, Exercise
from course_lib.encoder_decoder import EncoderDecoderConfig
from course_lib.exercises.encoder_decoder.shared import random_state, right_shapes, shapes_of

EncoderDecoder = Exercise(
    "encoder_decoder.EncoderDecoder", points=4, reference=encoder_decoder.EncoderDecoder
)


def _config(sizes):
    return EncoderDecoderConfig(
        vocab_size=13, max_length=9, width=8, n_heads=2, ffn_width=12, **sizes
    )


def _model_shapes(solution, **sizes):
    return shapes_of(solution(_config(sizes)))


def _model(solution, sizes, weights_seed):
    model = solution(_config(sizes))
    shapes = right_shapes(encoder_decoder.EncoderDecoder, _config(sizes))
    model.load_state_dict(random_state(shapes, weights_seed))
    return model


def _shapes_of_model(solution, n_layers, tied, pad_id):
    return _model_shapes(solution, n_layers=n_layers, tied=tied, pad_id=pad_id)


def _logits(solution, n_layers, tied, pad_id, weights_seed, source_ids, target_ids):
    sizes = {"n_layers": n_layers, "tied": tied, "pad_id": pad_id}
    return _model(solution, sizes, weights_seed)(source_ids, target_ids)


def _in_two_steps(solution, n_layers, tied, pad_id, weights_seed, source_ids, target_ids):
    sizes = {"n_layers": n_layers, "tied": tied, "pad_id": pad_id}
    model = _model(solution, sizes, weights_seed)
    context = model.encode(source_ids)
    return context, model.decode(target_ids, context, source_ids)


def _two_calls(
    solution, n_layers, tied, pad_id, weights_seed, source_ids, target_ids, other, second
):
    """The same model reads and writes twice, other texts the second time."""
    sizes = {"n_layers": n_layers, "tied": tied, "pad_id": pad_id}
    model = _model(solution, sizes, weights_seed)
    return [model(source_ids, target_ids), model(other, second)]


@EncoderDecoder.cases
def _(draw):
    def ids(*shape):
        return 1 + draw.ids(12, *shape)  # no 0, the padding

    def case(about, source, target, observe=_logits, n_layers=1, tied=True, pad_id=0, **more):
        sizes = {"n_layers": n_layers, "tied": tied, "pad_id": pad_id}
        arguments = {**sizes, "weights_seed": draw.random.randrange(10_000)}
        return Case(
            about, {**arguments, "source_ids": source, "target_ids": target, **more}, observe
        )

    sizes = {"n_layers": 2, "tied": True, "pad_id": 0}
    yield Case("the names and shapes of its parameters", sizes, _shapes_of_model)
    yield case("one block each, short texts", ids(1, 3), ids(1, 2))
    yield case("two blocks each, several texts", ids(3, 4), ids(3, 6), n_layers=2)
    yield case("as many tokens on both sides", ids(2, 5), ids(2, 5))
    padded = ids(3, 5)
    padded[0, 3:] = padded[1, 1:] = 0
    yield case("sources of different length", padded, ids(3, 4))
    finished = ids(2, 6)
    finished[0, 3:] = 0
    yield case("a target with padding at its end", ids(2, 3), finished)
    begins = torch.cat([torch.zeros(2, 1, dtype=torch.int64), ids(2, 3)], dim=1)
    yield case("targets that begin with the padding id, as T5's do", ids(2, 3), begins)
    yield case("one token on both sides", ids(2, 1), ids(2, 1))
    yield case("two calls of one model, with other texts", padded, ids(3, 4), _two_calls,
               other=ids(3, 5), second=ids(3, 4))  # fmt: skip
    yield case("another padding id", padded.masked_fill(padded == 0, 11), ids(3, 4), pad_id=11)
    yield case("a head of its own", ids(2, 3), ids(2, 4), tied=False)
    yield case("reading and writing as two steps", padded, ids(3, 4), _in_two_steps)
    if draw.hidden:
        longer = ids(4, 9)
        longer[2, 4:] = 0
        yield case("three blocks each, longer texts", longer, ids(4, 8), n_layers=3)


class _Model(encoder_decoder.EncoderDecoder):
    """The right steps one by one; the misconceptions change one."""

    def padding(self, source_ids):
        return padding_mask(source_ids != self.config.pad_id)

    def read(self, source_ids, mask):
        x = self.embed(source_ids)
        for block in self.encoder:
            x = block(x, mask)
        return self.encoder_norm(x)

    def write(self, target_ids, context, mask, context_mask):
        x = self.embed(target_ids)
        for block in self.decoder:
            x = block(x, context, mask, context_mask)
        return self.unembed(self.decoder_norm(x))


@EncoderDecoder.misconception
class TheDecoderLooksAhead(_Model):
    """Your decoder has no causal mask. While it learns it reads the whole right answer, and each
    position sees the very token it is to guess. Give its blocks `causal_mask`."""

    def decode(self, target_ids, context, source_ids):
        return self.write(target_ids, context, None, self.padding(source_ids))


@EncoderDecoder.misconception
class TheEncoderLooksOnlyBack(_Model):
    """Your encoder has a causal mask. The source is all there before the writing begins, so each of
    its tokens may look at every other: only padding is hidden."""

    def encode(self, source_ids):
        mask = causal_mask(source_ids.shape[1]) & self.padding(source_ids)
        return self.read(source_ids, mask)


@EncoderDecoder.misconception
class IgnoresPadding(_Model):
    """Padding of the source is read like words, by the encoder and by the decoder. What a sentence
    means then depends on how long its neighbours in the batch are. Make a `padding_mask` and give
    it to both."""

    def encode(self, source_ids):
        return self.read(source_ids, None)

    def decode(self, target_ids, context, source_ids):
        return self.write(target_ids, context, causal_mask(target_ids.shape[1]), None)


@EncoderDecoder.misconception
class IgnoresPaddingWhileReading(_Model):
    """Your encoder's tokens look at padding. (The decoder's do not.) Give the encoder's blocks the
    padding mask too."""

    def encode(self, source_ids):
        return self.read(source_ids, None)


@EncoderDecoder.misconception
class IgnoresPaddingWhileWriting(_Model):
    """Your encoder hides padding from itself, but the decoder's cross-attention looks at it. The
    vectors at padding are still there in the context: hide them once more, with `context_mask`."""

    def decode(self, target_ids, context, source_ids):
        return self.write(target_ids, context, causal_mask(target_ids.shape[1]), None)


@EncoderDecoder.misconception
class TakesPaddingForZero(_Model):
    """You compare with 0. Which id means padding stands in the config: `self.config.pad_id`."""

    def padding(self, source_ids):
        return padding_mask(source_ids != 0)

    def encode(self, source_ids):
        return self.read(source_ids, self.padding(source_ids))

    def decode(self, target_ids, context, source_ids):
        mask = causal_mask(target_ids.shape[1])
        return self.write(target_ids, context, mask, self.padding(source_ids))


@EncoderDecoder.misconception
class LooksAtPaddingAlone(_Model):
    """Your padding mask is the wrong way round: True means "may attend", so it is True where the id
    is *not* the padding id."""

    def padding(self, source_ids):
        return padding_mask(source_ids == self.config.pad_id)

    def encode(self, source_ids):
        return self.read(source_ids, self.padding(source_ids))

    def decode(self, target_ids, context, source_ids):
        mask = causal_mask(target_ids.shape[1])
        return self.write(target_ids, context, mask, self.padding(source_ids))


@EncoderDecoder.misconception
class HidesPaddingOfTheTargetToo(_Model):
    """You hide padding in the target as well. It stands at the end, where the causal mask hides it
    from every real token already. Hiding it again changes what comes out at the padding, and takes
    the start token away from models that use the padding id for it, as T5 does."""

    def decode(self, target_ids, context, source_ids):
        mask = causal_mask(target_ids.shape[1]) & self.padding(target_ids)
        return self.write(target_ids, context, mask, self.padding(source_ids))


@EncoderDecoder.misconception
class ReadsTheFirstSourceAgain(_Model):
    """Your model remembers what it read in an earlier call and writes about that again. Read the
    source anew in each call: it may be another one."""

    def forward(self, source_ids, target_ids):
        kept = self.__dict__.setdefault("kept", source_ids)
        source_ids = kept if kept.shape == source_ids.shape else source_ids
        return super().forward(source_ids, target_ids)


@EncoderDecoder.misconception
class ForgetsTheEncoderNorm(_Model):
    """The context leaves your encoder as it is. In a pre-norm model the stream has been normalised
    by nobody at that point: apply `encoder_norm` at the end of `encode`."""

    def encode(self, source_ids):
        x = self.embed(source_ids)
        for block in self.encoder:
            x = block(x, self.padding(source_ids))
        return x


@EncoderDecoder.misconception
class ForgetsTheDecoderNorm(_Model):
    """The stream goes into the head as it is. As in every pre-norm model, a last norm stands before
    the head: `decoder_norm`."""

    def decode(self, target_ids, context, source_ids):
        mask, x = causal_mask(target_ids.shape[1]), self.embed(target_ids)
        for block in self.decoder:
            x = block(x, context, mask, self.padding(source_ids))
        return self.unembed(x)


@EncoderDecoder.misconception
class GoesThroughTheWrongNorm(_Model):
    """Reader and writer share one norm in yours. Each has a norm with weights of its own:
    `encoder_norm` at the end of `encode`, `decoder_norm` at the end of `decode`."""

    def decode(self, target_ids, context, source_ids):
        mask, x = causal_mask(target_ids.shape[1]), self.embed(target_ids)
        for block in self.decoder:
            x = block(x, context, mask, self.padding(source_ids))
        return self.unembed(self.encoder_norm(x))


@EncoderDecoder.misconception
class LooksAtTheEmbeddedSource(_Model):
    """Your decoder looks at the embedded source, before any block has read it. The context is what
    comes out at the *end* of the encoder."""

    def encode(self, source_ids):
        return self.encoder_norm(self.embed(source_ids))


@EncoderDecoder.misconception
class GoesUpInStep(_Model):
    """In yours each decoder block looks at the encoder block of its own height, as some drawings
    suggest. Every decoder block looks at the same context: the *last* output of the encoder."""

    def forward(self, source_ids, target_ids):
        padding, mask = self.padding(source_ids), causal_mask(target_ids.shape[1])
        context, x = self.embed(source_ids), self.embed(target_ids)
        for reader, writer in zip(self.encoder, self.decoder):
            context = reader(context, padding)
            x = writer(x, self.encoder_norm(context), mask, padding)
        return self.unembed(self.decoder_norm(x))


@EncoderDecoder.misconception
class HandsEveryBlockTheSameText(_Model):
    """Each of your encoder's blocks reads the embedded text, and only what the last one makes of it
    is kept. A block goes on from where the block before it stopped: x = block(x, mask)."""

    def encode(self, source_ids):
        x = self.embed(source_ids)
        for block in self.encoder:
            read = block(x, self.padding(source_ids))
        return self.encoder_norm(read)


@EncoderDecoder.misconception
class HidesTheRestOfTheSource(_Model):
    """Your cross-attention gets a causal mask too, so the first words are written with only a part
    of the source in sight. The source is all there before the writing begins: `context_mask` hides
    its padding and nothing else."""

    def decode(self, target_ids, context, source_ids):
        target, source = target_ids.shape[1], source_ids.shape[1]
        context_mask = self.padding(source_ids) & causal_mask(target, source)
        return self.write(target_ids, context, causal_mask(target), context_mask)


@EncoderDecoder.misconception
class ShiftsInsideTheModel(_Model):
    """Your model shifts the target itself. What it is given is shifted already (`shift_right`), and
    while it writes there is nothing to shift. Models never shift in this course."""

    def forward(self, source_ids, target_ids):
        return super().forward(source_ids, objectives.shift_right(target_ids, 1))


@EncoderDecoder.misconception
class ReturnsProbabilities(_Model):
    """You end with a softmax. Return the logits: the loss applies softmax itself."""

    def decode(self, target_ids, context, source_ids):
        return super().decode(target_ids, context, source_ids).softmax(-1)


@EncoderDecoder.misconception
class StopsAtTheVectors(_Model):
    """You return the decoder's vectors. One step is missing: `unembed` turns them into a score for
    each token of the vocabulary."""

    def unembed(self, x):
        return x


@EncoderDecoder.misconception
class SwapsSourceAndTarget(_Model):
    """You encode the target and decode the source. The source is what is read, the target what is
    written."""

    def forward(self, source_ids, target_ids):
        return super().forward(target_ids, source_ids)


@EncoderDecoder.alternative
class AllInOne(encoder_decoder.EncoderDecoder):
    """The masks written out, positions looked up by hand."""

    def embed(self, ids):
        positions = torch.arange(ids.shape[1])
        return self.token_embedding(ids) + self.position_embedding(positions)

    def encode(self, source_ids):
        x = self.embed(source_ids)
        mask = (source_ids != self.config.pad_id)[:, None, None]
        for block in self.encoder:
            x = block(x, mask=mask)
        return self.encoder_norm(x)

    def decode(self, target_ids, context, source_ids):
        x, time = self.embed(target_ids), torch.arange(target_ids.shape[1])
        past = (time[:, None] >= time)[None, None]
        seen = (source_ids != self.config.pad_id)[:, None, None]
        for block in self.decoder:
            x = block(x, context, mask=past, context_mask=seen)
        return self.unembed(self.decoder_norm(x))


@EncoderDecoder.alternative
class WithMasksAtFullSize(encoder_decoder.EncoderDecoder):
    """Masks of [batch, 1, target, source], nothing left to broadcasting over targets."""

    def encode(self, source_ids):
        length = source_ids.shape[1]
        mask = padding_mask(source_ids.ne(self.config.pad_id)).expand(-1, 1, length, length)
        x = self.embed(source_ids)
        for block in self.encoder:
            x = block(x, mask)
        return self.encoder_norm(x)

    def decode(self, target_ids, context, source_ids):
        batch, length = target_ids.shape
        mask = causal_mask(length).expand(batch, 1, length, length)
        seen = padding_mask(source_ids.ne(self.config.pad_id)).expand(-1, 1, length, -1)
        x = self.embed(target_ids)
        for block in self.decoder:
            x = block(x, context, mask, seen)
        return self.unembed(self.decoder_norm(x))
