"""Number words: the same number in English and in German, written by `num2words`.

A small translation task with endless exact data. English says "twenty-three", German
"dreiundzwanzig" (three-and-twenty): tens and units stand in opposite order, so whoever translates
must look ahead in the other text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Int64
from num2words import num2words
from torch import Tensor

from course_lib.tokenization import BPETokenizer, train_bpe

__all__ = [
    "END",
    "LANGUAGES",
    "LIMIT",
    "PAD",
    "SENTINELS",
    "SPECIAL_TOKENS",
    "START",
    "aligned_words",
    "pad_rows",
    "spell_number",
    "split_numbers",
    "train_tokenizer",
]

LIMIT = 100_000  # numbers are below this
LANGUAGES = {"English": "en", "German": "de"}

# In this order, so that the ids are 0, 1, 2; then the sentinels of span corruption.
PAD, START, END = "<pad>", "<start>", "<end>"
SENTINELS = tuple(f"<{letter}>" for letter in "ABCDEFGH")
SPECIAL_TOKENS = (PAD, START, END, *SENTINELS)


@cache
def spell_number(number: int, language: str) -> str:
    """A number in words: 23 is "twenty-three" in English and "dreiundzwanzig" in German.

    Raises:
        TypeError: `number` is not an int.
        ValueError: `number` is negative, or `language` is not one of `LANGUAGES`.
    """
    if not isinstance(number, int):
        raise TypeError(f"number must be an int, got {type(number).__name__}")
    if number < 0:
        raise ValueError(f"number must not be negative, got {number}")
    if language not in LANGUAGES:
        raise ValueError(f"language must be one of {list(LANGUAGES)}, got {language!r}")
    return num2words(number, lang=LANGUAGES[language])


def aligned_words(number: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Which word of the English spelling says the same as which word of the German one.

    Returns:
        For each word, in German order, its place in the English and in the German spelling:
        (start, end) in bytes of UTF-8. German "und" and English "and" belong to no word.
    """
    english = dict(_words_in_place(number, "English"))
    return [(english[part], place) for part, place in _words_in_place(number, "German")]


def _words_in_place(number: int, language: str) -> list[tuple[str, tuple[int, int]]]:
    """(part of the number, its place in the spelling), from left to right."""
    german = language == "German"
    spelling, places, position = spell_number(number, language), [], 0
    for value, scale in ((number // 1000, 1000), (number // 100 % 10, 100), (number % 100, 1)):
        tens, unit = value // 10 * 10, value % 10
        words = [(f"{scale}s", value)] * (value > 0)
        if tens >= 20 and unit:
            words = [(f"tens of {scale}s", tens), (f"units of {scale}s", unit)]
            words = words[::-1] if german else words
        named = [(part, spell_number(n, language)) for part, n in words]
        if value and scale > 1:
            named += [(f"the word {scale}", spell_number(scale, language).split()[-1])]
        for part, word in named:
            if german:  # "eins" loses its s inside a number, "eintausend" is "tausend" there
                word = word.removeprefix("ein") if word[3:] in ("tausend", "hundert") else word
                word = "ein" if word == "eins" and part != "1s" else word
            start = spelling.index(word, position)
            position = start + len(word)
            place = (len(spelling[:start].encode()), len(spelling[:position].encode()))
            places.append((part, place))
    return places


def split_numbers(
    n_train: int, n_test: int, generator: torch.Generator, limit: int = LIMIT
) -> tuple[list[int], list[int]]:
    """Different numbers below `limit`: some to learn from, and others to be tested with.

    Raises:
        ValueError: there are not so many numbers.
    """
    if n_train < 0 or n_test < 0 or n_train + n_test > limit:
        raise ValueError(f"n_train + n_test must be at most {limit}, got {n_train} + {n_test}")
    numbers = torch.randperm(limit, generator=generator)[: n_train + n_test].tolist()
    return numbers[:n_train], numbers[n_train:]


def train_tokenizer(
    numbers: Sequence[int], vocab_size: int = 400, more_text: str = ""
) -> BPETokenizer:
    """One byte-level BPE for both languages, learnt from these numbers (and from `more_text`)."""
    words = [spell_number(number, language) for number in numbers for language in LANGUAGES]
    return train_bpe("\n".join([*words, more_text]), vocab_size, SPECIAL_TOKENS)


def pad_rows(rows: Sequence[Sequence[int]], pad_id: int) -> Int64[Tensor, "batch time"]:
    """Lists of ids as one tensor, filled up on the right.

    Raises:
        ValueError: there is no row.
    """
    if not rows:
        raise ValueError("rows must hold at least one row, got none")
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[pad_id] * (longest - len(row))] for row in rows])
