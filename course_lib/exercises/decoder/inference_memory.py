"""What `decoder.inference_memory` demands."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import torch

from course_lib import decoder
from course_lib.checks.exercise import Case, Exercise
from course_lib.exercises.decoder.shared import GPT, LLAMA

inference_memory = Exercise(
    "decoder.inference_memory", points=3, reference=decoder.inference_memory
)


@inference_memory.cases
def _(draw):
    gpt, llama = decoder.DecoderConfig(**GPT), decoder.DecoderConfig(**LLAMA)
    gpt3 = replace(gpt, n_layers=3)

    def case(about, config, batch=1, length=5, bytes_per_value=4):
        arguments = {"config": config, "batch": batch, "length": length}
        return Case(about, {**arguments, "bytes_per_value": bytes_per_value})

    number = draw.random.randint
    yield case("one text", gpt)
    yield case("a single token", gpt, length=1)
    yield case("three texts of seven tokens", gpt3, batch=3, length=7)
    yield case("two bytes a value", gpt3, batch=2, bytes_per_value=2)
    yield case(
        "half a byte a value", replace(gpt, width=16), batch=2, length=8, bytes_per_value=0.5
    )
    odd = replace(gpt, width=6, ffn_width=13, vocab_size=10)
    yield case("half a byte too many: it is rounded up", odd, length=3, bytes_per_value=0.5)
    odd = replace(odd, ffn_width=15)
    yield case("half a byte too many, other sizes", odd, length=3, bytes_per_value=0.5)
    yield case("a quarter of a byte too many", odd, length=3, bytes_per_value=0.25)
    yield case("a head of its own", replace(gpt, tied=False))
    yield case("a long text: the scores are the longest vector", gpt3, batch=2, length=90)
    yield case("a wide feed-forward", replace(gpt, ffn_width=70), batch=2)
    yield case("a large vocabulary", replace(gpt, vocab_size=number(100, 200)), batch=2)
    yield case("heads that share keys and values", llama, batch=3, length=6)
    sizes = {"width": 8 * number(2, 5), "n_layers": number(3, 5), "ffn_width": number(40, 60)}
    yield case("other sizes", replace(gpt, **sizes), number(2, 6), number(7, 30), 2)
    if draw.hidden:
        smollm = replace(llama, vocab_size=1000, width=576, n_heads=9, n_kv_heads=3)
        yield case("the proportions of SmolLM2", smollm, 4, 300, 2)


def _memory(config, batch, length, bytes_per_value, **changes):
    """The right answer with some numbers of values replaced, the sum adjusted."""
    right = decoder.inference_memory(config, batch, length, bytes_per_value)
    values = {part: right[part] for part in ("weights", "cache", "activations")}
    values |= {part: math.ceil(n * bytes_per_value) for part, n in changes.items()}
    return {**values, "total": sum(values.values())}


def _n_cache(config, batch, length):
    kv_heads = config.n_kv_heads or config.n_heads
    return 2 * config.n_layers * batch * kv_heads * length * (config.width // config.n_heads)


@lru_cache(maxsize=200)
def _n_weights(config):
    return sum(p.numel() for p in decoder.DecoderLM(config).parameters())


def _longest_vector(config, length):
    return max(config.n_heads * length, config.ffn_width, config.vocab_size)


@inference_memory.misconception
def caches_one_layer(config, batch, length, bytes_per_value):
    """Your cache is that of one layer. Every layer keeps keys and values of its own."""
    cache = _n_cache(config, batch, length) // config.n_layers
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def caches_keys_without_values(config, batch, length, bytes_per_value):
    """Your cache holds one vector for each token and layer. There are two: a key and a value."""
    cache = _n_cache(config, batch, length) // 2
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def caches_queries_too(config, batch, length, bytes_per_value):
    """Your cache holds three vectors for each token and layer. A query is used once, by its own
    token, and never again: only keys and values are kept."""
    cache = _n_cache(config, batch, length) // 2 * 3
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def caches_one_text(config, batch, length, bytes_per_value):
    """Your cache is that of one text. Every text of the batch has its own."""
    cache = _n_cache(config, 1, length)
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def multiplies_the_cache_by_the_heads(config, batch, length, bytes_per_value):
    """You multiply the whole width by the number of heads. The heads *share* the width: each keeps
    width / n_heads channels."""
    cache = _n_cache(config, batch, length) * config.n_heads
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def gives_every_query_head_its_own_keys(config, batch, length, bytes_per_value):
    """With `n_kv_heads`, several query heads share one head of keys and values, and that makes the
    cache smaller: count n_kv_heads * d_k channels, not the whole width."""
    cache = 2 * config.n_layers * batch * length * config.width
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def multiplies_by_none(config, batch, length, bytes_per_value):
    """`config.n_kv_heads` is None when every query head has keys and values of its own, and None
    cannot be multiplied. Take `config.n_heads` then."""
    d_k = config.width // config.n_heads
    cache = 2 * config.n_layers * batch * length * config.n_kv_heads * d_k
    return _memory(config, batch, length, bytes_per_value, cache=cache)


@inference_memory.misconception
def leaves_activations_out_of_the_total(config, batch, length, bytes_per_value):
    """Your total has weights and cache. The activations belong to it as well."""
    memory = decoder.inference_memory(config, batch, length, bytes_per_value)
    return memory | {"total": memory["weights"] + memory["cache"]}


@inference_memory.misconception
def copies_the_weights_for_every_text(config, batch, length, bytes_per_value):
    """You multiply the weights by the batch. All texts use the same weights."""
    weights = _n_weights(config) * batch
    return _memory(config, batch, length, bytes_per_value, weights=weights)


@inference_memory.misconception
def leaves_the_tables_out(config, batch, length, bytes_per_value):
    """Your weights lack the tables of tokens and positions. `non_embedding` is a number for
    comparing models; in memory the tables lie like everything else."""
    tables = [config.vocab_size] + [config.max_length] * (config.positions == "learned")
    weights = _n_weights(config) - sum(tables) * config.width
    return _memory(config, batch, length, bytes_per_value, weights=weights)


@inference_memory.misconception
def counts_a_tied_head_twice(config, batch, length, bytes_per_value):
    """A tied head is the token table, used a second time and stored once."""
    weights = _n_weights(replace(config, tied=False))
    return _memory(config, batch, length, bytes_per_value, weights=weights)


@inference_memory.misconception
def computes_the_whole_text_at_each_step(config, batch, length, bytes_per_value):
    """Your activations are those of all `length` tokens. With a cache a step computes one token for
    each text; the others are in the cache."""
    activations = batch * length * (2 * config.width + _longest_vector(config, length))
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def adds_all_vectors_up(config, batch, length, bytes_per_value):
    """You add scores, hidden channels and logits up. They are not alive at the same time: count the
    longest of them."""
    vectors = config.n_heads * length + config.ffn_width + config.vocab_size
    activations = batch * (2 * config.width + vectors)
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def multiplies_activations_by_the_layers(config, batch, length, bytes_per_value):
    """You count the activations of all layers. Without gradients a layer's are gone when the next
    begins; only keys and values stay, and the cache has those."""
    activations = config.n_layers * batch * (2 * config.width + _longest_vector(config, length))
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def counts_the_activations_of_one_text(config, batch, length, bytes_per_value):
    """Your activations are those of one text. A step computes a token for each text of the batch:
    multiply."""
    activations = 2 * config.width + _longest_vector(config, length)
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def takes_the_scores_of_one_head(config, batch, length, bytes_per_value):
    """Your scores are those of one head, `length` numbers. Every head has its own: n_heads *
    length."""
    longest = max(length, config.ffn_width, config.vocab_size)
    activations = batch * (2 * config.width + longest)
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def counts_the_stream_once(config, batch, length, bytes_per_value):
    """While a part works, the stream and its normalised copy are both alive: twice the width."""
    activations = batch * (config.width + _longest_vector(config, length))
    return _memory(config, batch, length, bytes_per_value, activations=activations)


@inference_memory.misconception
def always_takes_four_bytes(config, batch, length, bytes_per_value):
    """Your values always take 4 bytes. Multiply by `bytes_per_value`."""
    return decoder.inference_memory(config, batch, length, 4)


@inference_memory.misconception
def rounds_down(config, batch, length, bytes_per_value):
    """You cut off what is less than a byte: `int` and `//` round down. Half a byte needs a whole
    one: `math.ceil`."""
    memory = decoder.inference_memory(config, batch, length, 1)
    memory = {part: int(n * bytes_per_value) for part, n in memory.items() if part != "total"}
    return memory | {"total": sum(memory.values())}


@inference_memory.misconception
def rounds_to_the_nearest(config, batch, length, bytes_per_value):
    """You round to the nearest whole number, so a part of a byte may be lost (and `round` takes a
    half to the even side). Round up: `math.ceil`."""
    memory = decoder.inference_memory(config, batch, length, 1)
    memory = {part: round(n * bytes_per_value) for part, n in memory.items() if part != "total"}
    return memory | {"total": sum(memory.values())}


@inference_memory.misconception
def returns_floats(config, batch, length, bytes_per_value):
    """The numbers are right, but some are floats. Bytes come whole: `math.ceil` rounds up and gives
    an int."""
    memory = decoder.inference_memory(config, batch, length, bytes_per_value)
    return {part: float(n) for part, n in memory.items()}


@inference_memory.alternative
def by_formula(config, batch, length, bytes_per_value):
    """Nothing is built: every matrix is counted by hand."""
    w, f, V = config.width, config.ffn_width, config.vocab_size
    d_k = w // config.n_heads
    kv = d_k * (config.n_kv_heads or config.n_heads)
    attention = 2 * w * w + 2 * w * kv + config.bias * (2 * w + 2 * kv)
    swiglu, shift = config.feed_forward == "swiglu", config.norm == "layer"
    ffn = (3 if swiglu else 2) * w * f + config.bias * (w + f)
    norm = w * (2 if shift else 1)
    n = config.n_layers * (attention + ffn + 2 * norm) + norm + V * w * (1 if config.tied else 2)
    n += config.max_length * w if config.positions == "learned" else 0
    cache = batch * config.n_layers * length * kv * 2
    step = batch * (w + w + max(V, f, length * config.n_heads))
    weights, cache, step = (math.ceil(x * bytes_per_value) for x in (n, cache, step))
    total = weights + cache + step
    return {"weights": weights, "cache": cache, "activations": step, "total": total}


@inference_memory.alternative
def by_building_model_and_cache(config, batch, length, bytes_per_value):
    """Build it, read a text, and count what is there."""
    model = decoder.DecoderLM(replace(config, max_length=max(config.max_length, length)))
    with torch.no_grad():
        _, cache = decoder.decode_step(model, torch.zeros(batch, length, dtype=torch.int64))
    weights = sum(p.numel() for p in decoder.DecoderLM(config).parameters())
    kept = sum(tensor.numel() for tensor in (*cache.keys, *cache.values))
    longest = sorted([config.n_heads * length, config.ffn_width, config.vocab_size])[-1]
    parts = {"weights": weights, "cache": kept, "activations": batch * (2 * config.width + longest)}
    parts = {name: math.ceil(n * bytes_per_value) for name, n in parts.items()}
    parts["total"] = sum(parts.values())
    return parts
