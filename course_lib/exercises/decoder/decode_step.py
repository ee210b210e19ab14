"""What `decoder.decode_step` demands."""

from __future__ import annotations

from dataclasses import replace

import torch

from course_lib import decoder
from course_lib.attention import padding_mask
from course_lib.checks.exercise import Case, Exercise
from course_lib.checks.report import in_words
from course_lib.exercises.decoder.shared import GPT, LLAMA, build

decode_step = Exercise(
    "decoder.decode_step", points=4, reference=decoder.decode_step, tolerance=1e-4
)


def _pair(result):
    """(logits, cache). A tensor with two rows could be unpacked as well, so it is refused here."""
    if not isinstance(result, tuple | list) or len(result) != 2:
        got = f"{len(result)} things" if isinstance(result, tuple | list) else in_words(result)
        raise TypeError(f"decode_step must return two things, logits and a cache, got {got}")
    return result


@torch.no_grad()
def _steps(solution, config, weights_seed, ids, lengths):
    """The logits after each step, when `lengths` tokens are read at a time."""
    model, cache, logits = build(decoder.DecoderLM, config, weights_seed), None, []
    for piece in ids.split(lengths, dim=1):
        step, cache = _pair(solution(model, piece, cache))
        logits.append(step)
    return logits


@torch.no_grad()
def _after_padding(solution, config, weights_seed, ids, attention_mask, token):
    model = build(decoder.DecoderLM, config, weights_seed)
    first, cache = _pair(solution(model, ids, None, attention_mask))
    second, _ = _pair(solution(model, token, cache))
    return [first, second]


@torch.no_grad()
def _continued_twice(solution, config, weights_seed, ids, one, other):
    """One cache, two ways to go on: the first must not disturb the second."""
    model = build(decoder.DecoderLM, config, weights_seed)
    _, cache = _pair(solution(model, ids, None))
    return [_pair(solution(model, token, cache))[0] for token in (one, other, one)]


@torch.no_grad()
def _two_in_turn(solution, config, weights_seed, ids, other):
    """Two texts are continued in turn, each with a cache of its own."""
    model = build(decoder.DecoderLM, config, weights_seed)
    caches, logits = [None, None], []
    for place in range(ids.shape[1]):
        for number, text in enumerate((ids, other)):
            token = text[:, place : place + 1]
            step, caches[number] = _pair(solution(model, token, caches[number]))
            logits.append(step)
    return logits


@torch.no_grad()
def _with_other_weights(solution, config, weights_seed, ids):
    """The last token meets other weights than the text before it. What is kept of that text has
    not changed with them, so whoever reads it again gets other logits."""
    before, after = (build(decoder.DecoderLM, config, weights_seed + i) for i in range(2))
    _, cache = _pair(solution(before, ids[:, :-1], None))
    return _pair(solution(after, ids[:, -1:], cache))[0]


@decode_step.cases
def _(draw):
    gpt, llama = decoder.DecoderConfig(**GPT), decoder.DecoderConfig(**LLAMA)

    def case(about, ids, lengths, config=gpt, observe=_steps, **arguments):
        seed = draw.random.randrange(10_000)
        arguments = {"config": config, "weights_seed": seed, "ids": ids, **arguments}
        return Case(about, {**arguments, "lengths": lengths} if lengths else arguments, observe)

    yield case("the first token, no cache", draw.ids(11, 1, 1), [1])
    yield case("two tokens, one after the other", draw.ids(11, 1, 2), [1, 1])
    yield case("five tokens, one after the other", draw.ids(11, 2, 5), [1] * 5)
    yield case("a prompt of four tokens at once", draw.ids(11, 2, 4), [4])
    yield case("a prompt at once, then token by token", draw.ids(11, 3, 6), [4, 1, 1])
    yield case("a prompt in two pieces, then a token", draw.ids(11, 2, 6), [3, 2, 1])
    yield case("with the parts of a LLaMA", draw.ids(11, 2, 5), [3, 1, 1], llama)
    three = replace(gpt, n_layers=3, tied=False)
    yield case("three layers, a head of its own", draw.ids(11, 2, 4), [2, 1, 1], three)
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    padded = {"attention_mask": mask, "token": draw.ids(11, 2, 1)}
    yield case("prompts padded on the left, then one token", draw.ids(11, 2, 4), None,
               observe=_after_padding, **padded)  # fmt: skip
    tokens = {"one": draw.ids(11, 2, 1), "other": draw.ids(11, 2, 1)}
    yield case("the same cache continued twice", draw.ids(11, 2, 4), None,
               observe=_continued_twice, **tokens)  # fmt: skip
    yield case("two texts in turn, each with its cache", draw.ids(11, 1, 3), None,
               observe=_two_in_turn, other=draw.ids(11, 1, 3))  # fmt: skip
    yield case("the weights change before the last token: what was kept does not",
               draw.ids(11, 2, 6), None, observe=_with_other_weights)  # fmt: skip
    if draw.hidden:
        longer = replace(llama, vocab_size=30, n_layers=3)
        yield case("a longer text", draw.ids(30, 3, 14), [5, 3] + [1] * 6, longer)


def _step(
    model,
    token,
    cache,
    attention_mask=None,
    *,
    join=lambda old, new: torch.cat([old, new], dim=2),
    layer_of=lambda layer: layer,
    place=lambda positions, mask, seen: (positions, mask),
    block_step=None,
    last=lambda model, x: model.unembed(model.norm(x[:, -1])),
):
    """The right step, with places where a misconception goes wrong."""
    seen = decoder.seen_tokens(token, attention_mask, model.config.vocab_size)
    if cache is not None:
        seen = torch.cat([cache.attention_mask, seen], dim=1)
    positions, mask = decoder.positions_and_mask(seen, token.shape[1])
    positions, mask = place(positions, mask, seen)
    x = model.embed(token, positions)
    keys, values = [], []
    for layer, block in enumerate(model.blocks):
        q, k, v = block.attention.project(block.norm1(x), positions)
        if cache is not None:
            k = join(cache.keys[layer_of(layer)], k)
            v = join(cache.values[layer_of(layer)], v)
        keys.append(k)
        values.append(v)
        if block_step is not None:
            x = block_step(block, x, q, k, v, mask)
        else:
            x = x + block.attention.attend(q, k, v, mask)
            x = x + block.feed_forward(block.norm2(x))
    return last(model, x), decoder.Cache(tuple(keys), tuple(values), seen)


@decode_step.misconception
def reads_the_whole_text_again(model, token, cache=None, attention_mask=None):
    """The logits are right, but you keep the ids and run the whole text through the model again at
    each step. The point of a cache is not to: keep keys and values, and compute only those of the
    new token."""
    seen = decoder.seen_tokens(token, attention_mask, model.config.vocab_size)
    if cache is not None:
        token, seen = torch.cat([cache[0], token], 1), torch.cat([cache[1], seen], 1)
    return model(token, seen)[:, -1], (token, seen)


@decode_step.misconception
def forgets_the_past(model, token, cache=None, attention_mask=None):
    """Your new token attends to itself alone: the cache is never read. Put the old keys and values
    in front of the new ones."""
    return decoder.decode_step(model, token, None, attention_mask)


@decode_step.misconception
def counts_positions_from_zero_again(model, token, cache=None, attention_mask=None):
    """The new token gets the position 0. It stands after all tokens in the cache: positions and
    mask follow from the attention mask of the *whole* text."""

    def place(positions, mask, seen):
        return (positions - positions[:, :1]).clamp(min=0), mask

    return _step(model, token, cache, attention_mask, place=place)


@decode_step.misconception
def puts_new_keys_in_front(model, token, cache=None, attention_mask=None):
    """You put the new keys and values before the old ones. Attention does not mind the order, but
    the mask does: it takes the last columns for the new tokens."""
    return _step(
        model, token, cache, attention_mask, join=lambda old, new: torch.cat([new, old], dim=2)
    )


@decode_step.misconception
def returns_the_old_cache(model, token, cache=None, attention_mask=None):
    """You return the cache you were given, so it never grows after the first step. Return one that
    holds the new token too."""
    logits, grown = decoder.decode_step(model, token, cache, attention_mask)
    return logits, grown if cache is None else cache


@decode_step.misconception
def remembers_the_new_tokens_only(model, token, cache=None, attention_mask=None):
    """The cache you return holds keys and values of the new tokens alone; the older ones are lost
    for the step after. Keep the joined ones."""
    logits, grown = decoder.decode_step(model, token, cache, attention_mask)
    new = token.shape[1]
    keys, values = ([t[:, :, -new:] for t in part] for part in (grown.keys, grown.values))
    return logits, decoder.Cache(tuple(keys), tuple(values), grown.attention_mask)


@decode_step.misconception
def changes_the_cache_it_is_given(model, token, cache=None, attention_mask=None):
    """You add the new keys and values to the very cache that you are given. Whoever wants to go on
    from there a second time finds the first continuation in it. Make a new cache."""
    if cache is None:
        logits, grown = decoder.decode_step(model, token, None, attention_mask)
        return logits, [grown]
    logits, cache[0] = decoder.decode_step(model, token, cache[0], attention_mask)
    return logits, cache


@decode_step.misconception
def keeps_one_cache_for_all(model, token, cache=None, attention_mask=None):
    """What you remember lies in one place for all texts, and the cache you are given is only asked
    whether it is there. Two texts that are continued in turn then get into each other. All that is
    remembered belongs in the cache you return."""
    old = _remembered.get(id(model)) if cache is not None else None
    logits, grown = decoder.decode_step(model, token, old, attention_mask)
    _remembered.clear()
    _remembered[id(model)] = grown
    return logits, True


_remembered: dict = {}


@decode_step.misconception
def gives_all_layers_one_cache(model, token, cache=None, attention_mask=None):
    """Every layer of yours looks at the keys of the first. Each layer has keys and values of its
    own: `cache.keys[layer]`."""
    return _step(model, token, cache, attention_mask, layer_of=lambda layer: 0)


@decode_step.misconception
def lets_a_prompt_see_ahead(model, token, cache=None, attention_mask=None):
    """When several tokens come at once, yours may look at each other freely. The mask from
    `positions_and_mask` keeps them from looking ahead; hand it to `attend`."""

    def place(positions, mask, seen):
        return positions, padding_mask(seen).expand_as(mask)

    return _step(model, token, cache, attention_mask, place=place)


@decode_step.misconception
def scores_every_position(model, token, cache=None, attention_mask=None):
    """You return logits for every new token, [batch, time, vocab]. Only the last is asked for:
    [batch, vocab]."""

    def last(model, x):
        return model.unembed(model.norm(x))

    return _step(model, token, cache, attention_mask, last=last)


@decode_step.misconception
def scores_the_first_position(model, token, cache=None, attention_mask=None):
    """You score the *first* of the new tokens. With a prompt of several, the next token comes after
    the last: x[:, -1]."""

    def last(model, x):
        return model.unembed(model.norm(x[:, 0]))

    return _step(model, token, cache, attention_mask, last=last)


@decode_step.misconception
def returns_probabilities(model, token, cache=None, attention_mask=None):
    """You return probabilities. The forward returns logits, and so does a step."""

    def last(model, x):
        return model.unembed(model.norm(x[:, -1])).softmax(-1)

    return _step(model, token, cache, attention_mask, last=last)


@decode_step.misconception
def swaps_keys_and_values(model, token, cache=None, attention_mask=None):
    """Your cache holds the keys where the values belong, and the values where the keys belong.
    `Cache(keys, values, ...)` is the order."""
    logits, grown = decoder.decode_step(model, token, cache, attention_mask)
    return logits, replace(grown, keys=grown.values, values=grown.keys)


@decode_step.misconception
def skips_the_last_norm(model, token, cache=None, attention_mask=None):
    """Before `unembed` the stream goes through `model.norm`, as in the forward."""
    return _step(model, token, cache, attention_mask, last=lambda model, x: model.unembed(x[:, -1]))


@decode_step.misconception
def skips_the_feed_forward(model, token, cache=None, attention_mask=None):
    """Your blocks attend and stop there. After the attention comes the feed-forward, with the
    second norm, added to the stream as well."""

    def block_step(block, x, q, k, v, mask):
        return x + block.attention.attend(q, k, v, mask)

    return _step(model, token, cache, attention_mask, block_step=block_step)


@decode_step.misconception
def loses_the_residual_connections(model, token, cache=None, attention_mask=None):
    """The answers of attention and feed-forward replace the stream. They should be added to it, as
    in the block."""

    def block_step(block, x, q, k, v, mask):
        return block.feed_forward(block.norm2(block.attention.attend(q, k, v, mask)))

    return _step(model, token, cache, attention_mask, block_step=block_step)


@decode_step.misconception
def adds_to_the_normalised_stream(model, token, cache=None, attention_mask=None):
    """You add the attention's answer to `norm1(x)`. Only the attention reads the normalised copy;
    what it says is added to x itself."""

    def block_step(block, x, q, k, v, mask):
        x = block.norm1(x) + block.attention.attend(q, k, v, mask)
        return x + block.feed_forward(block.norm2(x))

    return _step(model, token, cache, attention_mask, block_step=block_step)


@decode_step.misconception
def replaces_the_stream_by_the_feed_forward(model, token, cache=None, attention_mask=None):
    """The feed-forward's answer replaces your stream. Add it: `x + block.feed_forward(...)`."""

    def block_step(block, x, q, k, v, mask):
        return block.feed_forward(block.norm2(x + block.attention.attend(q, k, v, mask)))

    return _step(model, token, cache, attention_mask, block_step=block_step)


@decode_step.misconception
def forgets_the_first_norm(model, token, cache=None, attention_mask=None):
    """Your queries, keys and values are made from the stream as it is. The attention reads it
    through the block's first norm: `project(block.norm1(x), positions)`."""
    seen = decoder.seen_tokens(token, attention_mask, model.config.vocab_size)
    seen = seen if cache is None else torch.cat([cache.attention_mask, seen], dim=1)
    positions, mask = decoder.positions_and_mask(seen, token.shape[1])
    x, keys, values = model.embed(token, positions), [], []
    for layer, block in enumerate(model.blocks):
        q, k, v = block.attention.project(x, positions)
        if cache is not None:
            k = torch.cat([cache.keys[layer], k], dim=2)
            v = torch.cat([cache.values[layer], v], dim=2)
        keys.append(k)
        values.append(v)
        x = x + block.attention.attend(q, k, v, mask)
        x = x + block.feed_forward(block.norm2(x))
    logits = model.unembed(model.norm(x[:, -1]))
    return logits, decoder.Cache(tuple(keys), tuple(values), seen)


@decode_step.misconception
def forgets_the_second_norm(model, token, cache=None, attention_mask=None):
    """Your feed-forward reads the stream as it is. It reads it through the block's second norm,
    `block.norm2(x)`."""

    def block_step(block, x, q, k, v, mask):
        x = x + block.attention.attend(q, k, v, mask)
        return x + block.feed_forward(x)

    return _step(model, token, cache, attention_mask, block_step=block_step)


@decode_step.alternative
def with_a_cache_of_pairs(model, token, cache=None, attention_mask=None):
    """The cache is a list of (keys, values) for each layer, beside the mask."""
    new = decoder.seen_tokens(token, attention_mask, model.config.vocab_size)
    pairs, old = cache if cache is not None else ([None] * len(model.blocks), new[:, :0])
    seen = torch.cat([old, new], dim=1)
    positions, mask = decoder.positions_and_mask(seen, token.shape[1])
    x, grown = model.embed(token, positions), []
    for block, pair in zip(model.blocks, pairs):
        q, k, v = block.attention.project(block.norm1(x), positions)
        if pair is not None:
            k, v = torch.cat((pair[0], k), -2), torch.cat((pair[1], v), -2)
        grown.append((k, v))
        x = x + block.attention.attend(q, k, v, mask)
        x = x + block.feed_forward(block.norm2(x))
    return model.unembed(model.norm(x))[:, -1], (grown, seen)


@decode_step.alternative
def token_by_token(model, token, cache=None, attention_mask=None):
    """A prompt is read one token at a time."""
    for place in range(token.shape[1]):
        part = None if attention_mask is None else attention_mask[:, place : place + 1]
        logits, cache = decoder.decode_step(model, token[:, place : place + 1], cache, part)
    return logits, cache
