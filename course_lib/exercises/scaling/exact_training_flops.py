"""What `scaling.exact_training_flops` demands."""

from __future__ import annotations

from types import SimpleNamespace

from course_lib import scaling
from course_lib.checks.exercise import Case, Exercise

exact_training_flops = Exercise("scaling.exact_training_flops", 3, scaling.exact_training_flops)


@exact_training_flops.cases
def _(draw):
    names = ("vocab_size", "max_length", "width", "n_layers", "n_heads", "ffn_width", "tied")

    def case(about, sizes, n_tokens, **options):
        config = SimpleNamespace(**dict(zip(names, sizes, strict=True)))
        return Case(about, {"config": config, "n_tokens": n_tokens}, **options)

    yield case("one layer, one head", (7, 3, 2, 1, 1, 5, False), 1)
    yield case("three layers", (11, 5, 6, 3, 2, 10, False), 100)
    yield case("a tied head", (13, 4, 6, 2, 3, 7, True), 1000.0)
    yield case("GPT-2 small", (50257, 1024, 768, 12, 12, 3072, True), 1e9)
    if draw.hidden:
        heads = draw.random.randint(2, 9)
        yield case("other sizes", (101, 37, 8 * heads, 5, heads, 50, False), 12345)


def _flops(
    config,
    n_tokens,
    *,
    projections=4,
    scores=1,
    mixing=1,
    heads=1,
    matrices=2,
    length=None,
    ffn_width=None,
    layers=None,
    head=1,
    per_layer_head=False,
    embedding=0,
    a_term=2,
    times=3.0,
):
    """The count with switches for what may go wrong."""
    width, layers = config.width, layers or config.n_layers
    block = projections * width * width + matrices * width * (ffn_width or config.ffn_width)
    block += (scores + mixing) * (length or config.max_length) * width * heads
    tables = (head + embedding) * config.vocab_size * width
    forward = layers * (block + tables) if per_layer_head else layers * block + tables
    return float(times * a_term * forward * n_tokens)


@exact_training_flops.misconception
def leaves_out_the_head(config, n_tokens):
    """The product with the head is missing: from width to vocabulary, once for each token. A tied
    head is the token table again, but the product is made all the same."""
    return _flops(config, n_tokens, head=0)


@exact_training_flops.misconception
def counts_the_head_only_if_it_is_not_tied(config, n_tokens):
    """A tied head has no parameters of its own, but its product is made like any other: cost goes
    by what is computed, not by what is stored."""
    return _flops(config, n_tokens, head=0 if config.tied else 1)


@exact_training_flops.misconception
def counts_the_embedding_as_a_product(config, n_tokens):
    """Looking up a row of a table multiplies nothing. (Hoffmann et al. do count it as a product
    with a one-hot vector; here only products that are computed count.)"""
    return _flops(config, n_tokens, embedding=1)


@exact_training_flops.misconception
def leaves_out_the_scores(config, n_tokens):
    """Products with weights are counted, but attention has two more, of tokens with tokens: queries
    with keys, and weights with values. They grow with the length of the text."""
    return _flops(config, n_tokens, scores=0, mixing=0)


@exact_training_flops.misconception
def counts_half_of_attention(config, n_tokens):
    """Of attention's products of tokens with tokens you count half. There are two of them, queries
    with keys and shares with values. And a causal mask saves nothing: all scores are computed, then
    it hides some."""
    return _flops(config, n_tokens, mixing=0)


@exact_training_flops.misconception
def multiplies_the_scores_by_the_heads(config, n_tokens):
    """Heads share out the width: each makes its scores from width / n_heads channels, and together
    that is one product over the whole width."""
    return _flops(config, n_tokens, heads=config.n_heads)


@exact_training_flops.misconception
def counts_the_scores_of_the_whole_text_for_each_token(config, n_tokens):
    """Attention's products stand here with `max_length` squared. That is the cost for a whole text;
    one token has one query, which meets `max_length` keys."""
    return _flops(config, n_tokens, length=config.max_length**2)


@exact_training_flops.misconception
def lets_a_token_attend_to_the_whole_training(config, n_tokens):
    """Each token of yours meets all `n_tokens` of the training. It attends to the tokens of its own
    text only: `max_length` of them."""
    return _flops(config, n_tokens, length=n_tokens)


@exact_training_flops.misconception
def takes_the_feed_forward_for_four_times_the_width(config, n_tokens):
    """A feed-forward four times as wide as the model is a habit and no law: its width is
    `config.ffn_width`."""
    return _flops(config, n_tokens, ffn_width=4 * config.width)


@exact_training_flops.misconception
def counts_three_projections(config, n_tokens):
    """Queries, keys and values make three products. The fourth, `out_proj`, mixes the heads."""
    return _flops(config, n_tokens, projections=3)


@exact_training_flops.misconception
def counts_one_feed_forward_matrix(config, n_tokens):
    """The feed-forward has two matrices, one into the hidden layer and one out of it."""
    return _flops(config, n_tokens, matrices=1)


@exact_training_flops.misconception
def counts_one_layer(config, n_tokens):
    """This is one block and the head. There are `n_layers` blocks."""
    return _flops(config, n_tokens, layers=1)


@exact_training_flops.misconception
def counts_the_head_in_every_layer(config, n_tokens):
    """The head comes once, after the last block. Multiply only the block by `n_layers`."""
    return _flops(config, n_tokens, per_layer_head=True)


@exact_training_flops.misconception
def counts_a_term_as_one_operation(config, n_tokens):
    """Each term of a product is a multiplication and an addition: two operations."""
    return _flops(config, n_tokens, a_term=1)


@exact_training_flops.misconception
def stops_at_the_way_forward(config, n_tokens):
    """That is the way forward. The way back makes two products for each one: three times as much
    in all."""
    return _flops(config, n_tokens, times=1.0)


@exact_training_flops.misconception
def takes_the_way_back_for_as_long_as_the_way_forward(config, n_tokens):
    """The way back costs twice the way forward, not once: gradients of the weights and of what came
    in. Three times as much in all."""
    return _flops(config, n_tokens, times=2.0)


@exact_training_flops.misconception
def takes_the_rule_of_thumb(config, n_tokens):
    """This is 6 times the weights of the matrices, times tokens. The products of attention that
    have no weights (queries with keys, shares with values) are not in it, nor a head whose table is
    tied; count product by product."""
    width = config.width
    weights = config.n_layers * (4 * width * width + 2 * width * config.ffn_width)
    return 6.0 * weights * n_tokens


@exact_training_flops.alternative
def product_by_product(config, n_tokens):
    def product(a, b, c):
        return 2 * a * b * c

    length, width = config.max_length, config.width
    text = 0
    for _ in range(config.n_layers):
        text += 4 * product(length, width, width)
        for _ in range(config.n_heads):
            d_k = width // config.n_heads
            text += product(length, d_k, length) + product(length, length, d_k)
        text += product(length, width, config.ffn_width) + product(length, config.ffn_width, width)
    text += product(length, width, config.vocab_size)
    return 3.0 * text * n_tokens / length


@exact_training_flops.alternative
def from_the_weights(config, n_tokens):
    width, layers = config.width, config.n_layers
    weights = layers * (4 * width**2 + 2 * width * config.ffn_width) + width * config.vocab_size
    return n_tokens * (6.0 * weights + 12.0 * layers * width * config.max_length)
