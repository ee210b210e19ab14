"""Cutting text into words before a tokenizer cuts words into tokens (notebook 01).

Where letters, numbers and white space begin and end is a question of Unicode tables; we use those
of the `tokenizers` library, so that every word is cut where that library cuts it. In ASCII there is
nothing to look up, so Python's own regular expressions cut there: the same words, much sooner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

__all__ = [
    "GPT2_PATTERN",
    "GPT4_PATTERN",
    "bert_words",
    "check_text",
    "chunks",
    "library_parts",
    "pre_tokenize",
    "split_pattern",
    "split_special",
]

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's words: English endings; letters, numbers or other signs, each with the blank before it;
white space. Radford et al. 2019, `encoder.py`."""

GPT4_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""GPT-4's words (tiktoken's cl100k_base), and LLaMA-3's: any sign may stand before letters, three
digits are a word, line breaks keep together."""

_GPT2_WORDS = pre_tokenizers.Split(Regex(GPT2_PATTERN), behavior="isolated")
_SINGLE_DIGITS = pre_tokenizers.Digits(individual_digits=True)
_DIGITS_THEN_WORDS = pre_tokenizers.Sequence([_SINGLE_DIGITS, _GPT2_WORDS])

_SPACE = r"[^\S\x1c-\x1f]"  # four signs are white space to Python, but not to the library
_NOT_ASCII = r"[^\s\x00-\x7f]"


def _chunks(numbers: str, after_blanks: str) -> re.Pattern[str]:
    """Cuts a text into words of ASCII, and longer chunks with some other sign in them.

    A chunk ends where white space begins: there a word ends, whatever follows.
    """
    return re.compile(
        rf"""
        '(?:[stmd]|re|ve|ll)
      | (?: \ ?(?: [A-Za-z]++ | [\x00-\x08\x0e-\x1f!-/:-@\[-`{{-\x7f]++ ) | {numbers} )
        (?! {_NOT_ASCII} )
      | (?: \ ?[\x00-\x08\x0e-\x1f!-\x7f]*+ | {_SPACE}++ ) {_NOT_ASCII} [\S\x1c-\x1f]*+  # a chunk
      | {_SPACE}+(?={after_blanks}) | {_SPACE}
        """,
        re.VERBOSE,
    )


_GPT2_CHUNKS = _chunks(r"\ ?[0-9]++", rf"{_SPACE}|\Z")
_DIGITS_THEN_CHUNKS = _chunks("[0-9]", rf"[0-9]|{_SPACE}|\Z")

_BERT_NORMALIZER = normalizers.BertNormalizer(
    clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
)
_BERT_WORDS = pre_tokenizers.BertPreTokenizer()


def check_text(text: str, name: str = "text") -> None:
    """Refuse what is no text: something else than a str, or half of a surrogate pair in it, which
    stands for no character.

    Raises:
        TypeError: it is not a str.
        ValueError: it holds half of a surrogate pair.
    """
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a str, got {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half, place = text[error.start], error.start
        raise ValueError(f"{name} holds a lone surrogate, {half!r}, at place {place}") from None


def split_pattern(pattern: str) -> dict[str, Any]:
    """A pre-tokenizer, as a tokenizer.json has it, that cuts words with a pattern of its own.

    Args:
        pattern: in the language of Oniguruma, such as `GPT4_PATTERN`; what it does not match is a
            word, too.
    """
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    spell = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    steps = [split | {"invert": False}, spell | {"use_regex": False}]
    return {"type": "Sequence", "pretokenizers": steps}


def library_parts(
    normalizer: Mapping[str, Any] | None, pre_tokenizer: Mapping[str, Any] | None
) -> tuple[normalizers.Normalizer | None, pre_tokenizers.PreTokenizer | None]:
    """The `tokenizers` library's own normalizer and pre-tokenizer, from their descriptions in a
    tokenizer.json.

    Raises:
        ValueError: the library does not know what is described.
    """
    return _library_part("normalizer", normalizer), _library_part("pre_tokenizer", pre_tokenizer)


def _library_part(name: str, described: Mapping[str, Any] | None) -> Any:
    model = {"type": "BPE", "vocab": {}, "merges": []}
    document: dict[str, Any] = {"version": "1.0", "added_tokens": [], "model": model}
    document[name] = described
    try:
        return getattr(Tokenizer.from_str(json.dumps(document)), name)
    except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
        raise ValueError(f"{name}: tokenizers does not know {described}: {error}") from None


def pre_tokenize(text: str, split_digits: bool = False) -> list[str]:
    """Cut a text into words as GPT-2 does; joined, they are the text again.

    Args:
        text: any text.
        split_digits: first make each digit a word of its own, as SmolLM2 does.

    Raises:
        TypeError: `text` is not a str.
        ValueError: it holds half of a surrogate pair.
    """
    splitter = _DIGITS_THEN_WORDS if split_digits else _GPT2_WORDS
    words = []
    for chunk in chunks(text, split_digits):
        if chunk.isascii():
            words.append(chunk)
        else:
            words.extend(word for word, _ in splitter.pre_tokenize_str(chunk))
    return words


def chunks(text: str, split_digits: bool = False) -> list[str]:
    """Cut a text less finely than `pre_tokenize`, and sooner; joined, they are the text again.

    A chunk of ASCII is a word. `pre_tokenize` cuts the others into words, each by itself. Texts
    repeat their chunks, so it pays to do that once for each distinct one.

    Raises:
        TypeError: `text` is not a str.
        ValueError: it holds half of a surrogate pair.
    """
    check_text(text)

    return (_DIGITS_THEN_CHUNKS if split_digits else _GPT2_CHUNKS).findall(text)


def bert_words(text: str) -> list[str]:
    """Cut a text into words as uncased BERT does: lower case, no accents or control characters;
    white space is dropped, punctuation marks and Chinese characters stand alone.

    Raises:
        TypeError: `text` is not a str.
        ValueError: it holds half of a surrogate pair.
    """
    check_text(text)

    return [word for word, _ in _BERT_WORDS.pre_tokenize_str(_BERT_NORMALIZER.normalize_str(text))]


def split_special(text: str, special_tokens: Iterable[str]) -> list[str]:
    """Cut a text at its special tokens: [passage, special token, passage, ..., passage].

    Passages have the even places, and may be empty. Where two special tokens start at the same
    place, the longer one is taken.

    Raises:
        TypeError: `text` is not a str.
        ValueError: it holds half of a surrogate pair.
    """
    check_text(text)

    pattern = _any_of(tuple(special_tokens))
    return pattern.split(text) if pattern else [text]


@lru_cache
def _any_of(special_tokens: tuple[str, ...]) -> re.Pattern[str] | None:
    if not special_tokens:
        return None
    longest_first = sorted(special_tokens, key=len, reverse=True)
    return re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
