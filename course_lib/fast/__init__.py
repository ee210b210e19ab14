"""The same made for speed: each function says whose twin it is (`course_lib.twins`).

- `course_lib.fast.bpe`: learning a byte pair encoding.
- `course_lib.fast.decoder`: the decoder, and its loss in training.
- `course_lib.fast.products`: matrices of weights for it, in fewer bits.
- `course_lib.fast.decoding`: choosing tokens.
"""

from course_lib.fast.bpe import train_bpe_fast
from course_lib.fast.decoder import FastDecoder, GrowingCache, next_token_loss
from course_lib.fast.decoding import fast_beam_search, fast_top_p_filter

__all__ = [
    "FastDecoder",
    "GrowingCache",
    "fast_beam_search",
    "fast_top_p_filter",
    "next_token_loss",
    "train_bpe_fast",
]
