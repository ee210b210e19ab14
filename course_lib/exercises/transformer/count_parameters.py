"""What `transformer.count_parameters` demands."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch
from torch import nn

from course_lib import transformer
from course_lib.checks.exercise import Case, Exercise

count_parameters = Exercise(
    "transformer.count_parameters", points=3, reference=transformer.count_parameters
)


def _count(solution, vocab_size, max_length, width, n_layers, n_heads, ffn_width, tied):
    return solution(
        SimpleNamespace(
            vocab_size=vocab_size,
            max_length=max_length,
            width=width,
            n_layers=n_layers,
            n_heads=n_heads,
            ffn_width=ffn_width,
            tied=tied,
        )
    )


@count_parameters.cases
def _(draw):
    def case(about, vocab_size, max_length, width, n_layers, n_heads, ffn_width, tied):
        sizes = {"vocab_size": vocab_size, "max_length": max_length, "width": width}
        sizes |= {"n_layers": n_layers, "n_heads": n_heads, "ffn_width": ffn_width, "tied": tied}
        return Case(about, sizes, _count)

    number = draw.random.randint
    yield case("one layer, one head", 10, 5, 2, 1, 1, 3, True)
    yield case("the head has a table of its own", 10, 5, 2, 1, 1, 3, False)
    yield case("three layers, two heads", number(50, 99), 20, 12, 3, 2, 30, True)
    yield case("no layers at all", number(50, 99), 20, 12, 0, 2, 30, False)
    yield case("a feed-forward that is not 4 times the width", 300, 40, 16, 2, 4, 100, False)
    yield case("GPT-2 small", 50257, 1024, 768, 12, 12, 3072, True)
    if draw.hidden:
        width, n_layers = 24 * number(1, 9), number(4, 20)
        yield case("other sizes", number(100, 999), 77, width, n_layers, 8, number(50, 99), True)


def _recount(config, **changes):
    """The right count with some parts replaced, sums adjusted."""
    counts = transformer.count_parameters(config) | changes
    parts = ("token_embedding", "position_embedding", "attention", "feed_forward", "norm", "head")
    counts["total"] = sum(counts[part] for part in parts)
    tables = counts["token_embedding"] + counts["position_embedding"]
    return counts | {"non_embedding": counts["total"] - tables}


@count_parameters.misconception
def forgets_all_biases(config):
    """You count the matrices and no biases. Every projection of the block has one number more for
    each output: its bias."""
    attention = config.n_layers * 4 * config.width**2
    feed_forward = config.n_layers * 2 * config.width * config.ffn_width
    return _recount(config, attention=attention, feed_forward=feed_forward)


@count_parameters.misconception
def forgets_the_biases_of_attention(config):
    """The four projections of attention have biases too: `width` numbers each."""
    return _recount(config, attention=config.n_layers * 4 * config.width**2)


@count_parameters.misconception
def forgets_the_biases_of_the_feed_forward(config):
    """The two projections of the feed-forward have biases: `ffn_width` numbers for the first,
    `width` for the second."""
    return _recount(config, feed_forward=config.n_layers * 2 * config.width * config.ffn_width)


@count_parameters.misconception
def gives_both_biases_of_the_feed_forward_one_size(config):
    """A bias is as long as the *output* of its projection. The feed-forward's first bias has
    `ffn_width` numbers, but the second has `width`."""
    width, ffn_width = config.width, config.ffn_width
    feed_forward = config.n_layers * 2 * (width * ffn_width + ffn_width)
    return _recount(config, feed_forward=feed_forward)


@count_parameters.misconception
def forgets_the_output_projection(config):
    """You count queries, keys and values. Attention has a fourth projection, which mixes the heads:
    `out_proj`."""
    width = config.width
    return _recount(config, attention=config.n_layers * 3 * (width**2 + width))


@count_parameters.misconception
def gives_each_head_a_full_projection(config):
    """You multiply attention by the number of heads. The heads *share* the width: each projects to
    width / n_heads channels, and together they have one width x width matrix."""
    width = config.width
    attention = config.n_layers * (config.n_heads * 3 * (width**2 + width) + width**2 + width)
    return _recount(config, attention=attention)


@count_parameters.misconception
def multiplies_all_of_attention_by_the_heads(config):
    """You multiply attention by the number of heads. The heads *share* the width: however many
    there are, queries have one width x width matrix, and so have keys, values and output."""
    width = config.width
    return _recount(config, attention=config.n_layers * config.n_heads * 4 * (width**2 + width))


@count_parameters.misconception
def counts_a_tied_head_again(config):
    """A tied head *is* the token table: the same numbers, used twice, stored once. Its entry is 0
    when `tied`."""
    return _recount(config, head=config.vocab_size * config.width)


@count_parameters.misconception
def leaves_out_the_head_always(config):
    """When `tied` is False the head is a matrix of its own, vocabulary times width."""
    return _recount(config, head=0)


@count_parameters.misconception
def gives_the_head_a_bias(config):
    """Your head has a bias of `vocab_size` numbers. This architecture's head has none."""
    head = 0 if config.tied else config.vocab_size * (config.width + 1)
    return _recount(config, head=head)


@count_parameters.misconception
def forgets_the_final_norm(config):
    """There is one LayerNorm more than those in the blocks: a last one before the head."""
    return _recount(config, norm=config.n_layers * 2 * 2 * config.width)


@count_parameters.misconception
def counts_one_norm_in_each_block(config):
    """Each block has two norms: one for the attention, one for the feed-forward."""
    return _recount(config, norm=(config.n_layers + 1) * 2 * config.width)


@count_parameters.misconception
def forgets_the_shift_of_the_norms(config):
    """A LayerNorm has a scale *and* a shift, `width` numbers each. (It is RMSNorm that has only a
    scale.)"""
    return _recount(config, norm=(config.n_layers * 2 + 1) * config.width)


@count_parameters.misconception
def counts_a_single_layer(config):
    """You count one block. There are `n_layers` of them."""
    width, ffn_width = config.width, config.ffn_width
    attention, norm = 4 * (width**2 + width), (2 + 1) * 2 * width
    feed_forward = 2 * width * ffn_width + ffn_width + width
    return _recount(config, attention=attention, feed_forward=feed_forward, norm=norm)


@count_parameters.misconception
def takes_four_times_the_width_for_granted(config):
    """Your feed-forward is always 4 times as wide as the stream. Read its width from
    `config.ffn_width`."""
    width = config.width
    feed_forward = config.n_layers * (2 * width * 4 * width + 4 * width + width)
    return _recount(config, feed_forward=feed_forward)


@count_parameters.misconception
def leaves_the_position_table_in_non_embedding(config):
    """You take only the token table off. `non_embedding` is the total less *both* tables: tokens
    and positions."""
    counts = transformer.count_parameters(config)
    return counts | {"non_embedding": counts["total"] - counts["token_embedding"]}


@count_parameters.misconception
def takes_the_head_off_non_embedding(config):
    """You take the head off as well. `non_embedding` is the total less the two tables; an untied
    head stays in."""
    counts = transformer.count_parameters(config)
    return counts | {"non_embedding": counts["non_embedding"] - counts["head"]}


@count_parameters.misconception
def leaves_the_tables_out_of_the_total(config):
    """Your `total` is what `non_embedding` should be. The total counts everything, the two tables
    as well."""
    counts = transformer.count_parameters(config)
    return counts | {"total": counts["non_embedding"]}


@count_parameters.misconception
def forgets_the_number_of_layers_in_the_norms(config):
    """Your norms are those of a single block and the last one. There are two in *each* of the
    `n_layers` blocks."""
    return _recount(config, norm=3 * 2 * config.width)


@count_parameters.misconception
def adds_up_to_floats(config):
    """The numbers are right, but some are floats: a `/` or a `0.5` turned them. Parameters are
    counted in whole numbers; use `//`, or multiply by integers only."""
    return {name: float(count) for name, count in transformer.count_parameters(config).items()}


@count_parameters.alternative
def by_building_the_model(config):
    """Build every part (without memory for its numbers) and count."""
    with torch.device("meta"):
        block = transformer.TransformerBlock(config.width, config.n_heads, config.ffn_width, "pre")
        norm = nn.LayerNorm(config.width)
        token_table = nn.Embedding(config.vocab_size, config.width)
        position_table = nn.Embedding(config.max_length, config.width)
        head = nn.Linear(config.width, config.vocab_size, bias=False)

    def numbers(*modules):
        return sum(p.numel() for module in modules for p in module.parameters())

    attention, norms = numbers(block.attention), numbers(block.norm1, block.norm2)
    parts = {"token_embedding": numbers(token_table), "position_embedding": numbers(position_table)}
    parts["attention"] = config.n_layers * attention
    parts["feed_forward"] = config.n_layers * (numbers(block) - attention - norms)
    parts["norm"] = config.n_layers * norms + numbers(norm)
    parts["head"] = 0 if config.tied else numbers(head)
    total = sum(parts.values())
    tables = parts["token_embedding"] + parts["position_embedding"]
    return parts | {"total": total, "non_embedding": total - tables}


@count_parameters.alternative
def from_the_matrices_one_by_one(config):
    """A list of shapes, and the product of each."""
    w, f = config.width, config.ffn_width
    shapes = {
        "token_embedding": [(config.vocab_size, w)],
        "position_embedding": [(config.max_length, w)],
        "attention": [(w, w), (w,)] * 4 * config.n_layers,
        "feed_forward": [(f, w), (f,), (w, f), (w,)] * config.n_layers,
        "norm": [(w,), (w,)] * (2 * config.n_layers + 1),
        "head": [] if config.tied else [(config.vocab_size, w)],
    }
    counts = {name: sum(math.prod(s) for s in part) for name, part in shapes.items()}
    counts["total"] = sum(counts.values())
    counts["non_embedding"] = sum(counts[n] for n in ("attention", "feed_forward", "norm", "head"))
    return counts
