"""Cutting text into words before a tokenizer cuts words into tokens (notebook 01).

Where letters, numbers and white space begin and end is a question of Unicode tables; we use those
of the `tokenizers` library, so that every word is cut where that library cuts it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from tokenizers import Regex, normalizers, pre_tokenizers

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's words: English endings; letters, numbers or other signs, each with the blank before it;
white space. Radford et al. 2019, `encoder.py`."""

_GPT2_WORDS = pre_tokenizers.Split(Regex(GPT2_PATTERN), behavior="isolated")
_SINGLE_DIGITS = pre_tokenizers.Digits(individual_digits=True)
_DIGITS_THEN_WORDS = pre_tokenizers.Sequence([_SINGLE_DIGITS, _GPT2_WORDS])

_BERT_NORMALIZER = normalizers.BertNormalizer(
    clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
)
_BERT_WORDS = pre_tokenizers.BertPreTokenizer()


def pre_tokenize(text: str, split_digits: bool = False) -> list[str]:
    """Cut a text into words as GPT-2 does; joined, they are the text again.

    Args:
        text: any text.
        split_digits: first make each digit a word of its own, as SmolLM2 does.

    Raises:
        TypeError: `text` is not a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")

    splitter = _DIGITS_THEN_WORDS if split_digits else _GPT2_WORDS
    return [word for word, _ in splitter.pre_tokenize_str(text)]


def bert_words(text: str) -> list[str]:
    """Cut a text into words as uncased BERT does: lower case, no accents or control characters;
    white space is dropped, punctuation marks and Chinese characters stand alone.

    Raises:
        TypeError: `text` is not a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")

    return [word for word, _ in _BERT_WORDS.pre_tokenize_str(_BERT_NORMALIZER.normalize_str(text))]


def split_special(text: str, special_tokens: Iterable[str]) -> list[str]:
    """Cut a text at its special tokens: [passage, special token, passage, ..., passage].

    Passages have the even places, and may be empty. Where two special tokens start at the same
    place, the longer one is taken.

    Raises:
        TypeError: `text` is not a str.
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, got {type(text).__name__}")

    pattern = _any_of(tuple(special_tokens))
    return pattern.split(text) if pattern else [text]


@lru_cache
def _any_of(special_tokens: tuple[str, ...]) -> re.Pattern[str] | None:
    if not special_tokens:
        return None
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
