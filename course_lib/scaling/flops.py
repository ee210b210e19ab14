"""What a training costs, in floating-point operations."""

from __future__ import annotations

from course_lib.arguments import check_arguments, positive
from course_lib.transformer import CountableConfig


def training_flops(n_params: float, n_tokens: float) -> float:
    """The rule of thumb C = 6 N D (Kaplan et al. 2020, section 2.1).

    For each token, each parameter is multiplied and added once on the way forward (2 FLOPs), and
    twice on the way back.

    Args:
        n_params: N, non-embedding parameters.
        n_tokens: D, training tokens.

    Raises:
        ValueError: a number is not above 0.
    """
    for name, number in {"n_params": n_params, "n_tokens": n_tokens}.items():
        if not number > 0:
            raise ValueError(f"{name} must be above 0, got {number}")

    return 6.0 * n_params * n_tokens


def exact_training_flops(config: CountableConfig, n_tokens: float) -> float:
    """Every matrix product of a training, counted; nothing but matrix products is counted.

    A product of an [a, b] and a [b, c] matrix costs 2 a b c, a multiplication and an addition for
    each term. The way back costs twice the way forward: one product for the gradient of the
    weights, one for that of the input. Looking up an embedding is no product; the head is one, tied
    or not. Texts are as long as the config allows, and all target * source scores are computed, the
    masked ones too, as a plain implementation does.

    The same count as in Hoffmann et al. (2022), appendix F, but for the embedding, which they count
    as a product, and the softmax, which is none.

    Args:
        config: `vocab_size`, `max_length`, `width`, `n_layers`, `ffn_width`, as `count_parameters`
            takes them.
        n_tokens: D, training tokens.

    Raises:
        ValueError: `n_tokens` is not above 0, or the config has parts that are not counted here (a
            third feed-forward matrix, shared key and value heads).
    """
    if not n_tokens > 0:
        raise ValueError(f"n_tokens must be above 0, got {n_tokens}")
    if getattr(config, "feed_forward", "gelu") != "gelu" or getattr(config, "n_kv_heads", None):
        raise ValueError("config must have a GELU feed-forward and no shared heads, got others")

    projections = 4 * 2 * config.width * config.width  # q, k, v, out
    scores_and_mixing = 2 * 2 * config.max_length * config.width  # with every token of the text
    feed_forward = 2 * 2 * config.width * config.ffn_width
    block = projections + scores_and_mixing + feed_forward
    head = 2 * config.width * config.vocab_size
    forward = config.n_layers * block + head  # for one token
    return 3.0 * forward * n_tokens


# Checked here, so that the functions above are what the exercises show.

training_flops = check_arguments(positive("n_params", "n_tokens")(training_flops))
exact_training_flops = check_arguments(positive("n_tokens")(exact_training_flops))
