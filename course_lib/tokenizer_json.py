"""The file format of the `tokenizers` library (tokenizer.json), for byte-level BPE.

JSON holds text, a token is bytes; GPT-2 spells each byte as one visible character to bridge the
two, so " é" (bytes 20 C3 A9) is written "ĠÃ©".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any


def _byte_to_char() -> dict[int, str]:
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    invisible = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {
        byte: chr(256 + n) for n, byte in enumerate(invisible)
    }


BYTE_TO_CHAR = _byte_to_char()
"""GPT-2's spelling of each byte, in GPT-2's order: bytes that are a visible Latin-1 character
(as themselves), then the others (as U+0100, U+0101, ...). Radford et al. 2019, `encoder.py`."""

CHAR_TO_BYTE = {char: byte for byte, char in BYTE_TO_CHAR.items()}


def spell(token: bytes) -> str:
    """One visible character per byte: b" hi" -> "Ġhi"."""
    return "".join(BYTE_TO_CHAR[byte] for byte in token)


def unspell(text: str) -> bytes:
    """Undo `spell`: "Ġhi" -> b" hi". A character that stands for no byte is a `ValueError`."""
    try:
        return bytes(CHAR_TO_BYTE[char] for char in text)
    except KeyError as error:
        raise ValueError(f"token {text!r}: {error.args[0]!r} stands for no byte") from None


def resolve_spelling(
    tokens: Mapping[str, int], merges: Iterable[tuple[str, str]], special_tokens: Collection[str]
) -> tuple[dict[int, bytes], dict[tuple[int, int], int]]:
    """From spelled tokens and merges to the bytes of each id and the id each pair becomes.

    Special tokens are spelled as they are, the others as `spell` does.

    Raises:
        ValueError: a token has a character that stands for no byte, two tokens have the same id,
            or a merge is not of tokens, or not into one.
    """
    vocab = {
        id: token.encode() if token in special_tokens else unspell(token)
        for token, id in tokens.items()
    }
    if len(vocab) != len(tokens):
        raise ValueError(f"tokens must have distinct ids, got {len(vocab)} for {len(tokens)}")
    merge_ids = {}
    for left, right in merges:
        for token in (left, right, left + right):
            if token not in tokens:
                raise ValueError(f"merges: {left!r} + {right!r} needs {token!r}, which is no token")
        merge_ids[tokens[left], tokens[right]] = tokens[left + right]
    return vocab, merge_ids


_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,  # does not touch the words
    "use_regex": True,
}
_DIGITS = {"type": "Digits", "individual_digits": True}


def write_tokenizer_json(
    path: str | Path,
    vocab: Mapping[int, bytes],
    merges: Iterable[tuple[int, int]],
    special_tokens: Mapping[str, int],
    split_digits: bool,
) -> None:
    """Write a file that `tokenizers.Tokenizer.from_file` reads. Merges come in their order.

    Raises:
        ValueError: two tokens would be spelled the same.
    """
    spelled = {id: spell(token) for id, token in vocab.items()}
    spelled |= {id: token for token, id in special_tokens.items()}
    tokens = {token: id for id, token in sorted(spelled.items())}
    if len(tokens) != len(spelled):
        twice = [token for token, n in Counter(spelled.values()).items() if n > 1]
        raise ValueError(f"these tokens cannot be told apart in a tokenizer.json: {twice}")

    splitter = {"type": "Sequence", "pretokenizers": [_DIGITS, _BYTE_LEVEL]}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": id, "content": token, **flags, "special": True}
            for token, id in special_tokens.items()
        ],
        "normalizer": None,
        "pre_tokenizer": splitter if split_digits else _BYTE_LEVEL,
        "post_processor": None,
        "decoder": _BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": tokens,
            "merges": [(spelled[left], spelled[right]) for left, right in merges],
        },
    }
    Path(path).write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")


def read_tokenizer_json(
    path: str | Path,
) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, int], bool]:
    """Read a byte-level BPE model with GPT-2's pre-tokenisation.

    Returns:
        Tokens and their ids, merges (both spelled), special tokens and their ids, and whether
        each digit is a word of its own.

    What the file says about truncation, padding and post-processing is left aside: it changes
    what is put around the ids of a text, not the ids.

    Raises:
        OSError: there is no such file.
        ValueError: it is not a tokenizer.json, or asks for something else (another model, a
            normalizer, another pre-tokenizer).
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        return _parse(json.loads(text))
    except ValueError as error:
        raise ValueError(f"{path} holds no byte-level BPE tokenizer: {error}") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not shaped like a tokenizer.json: {error!r}") from error


def _parse(
    document: dict[str, Any],
) -> tuple[dict[str, int], list[tuple[str, str]], dict[str, int], bool]:
    model, added_tokens = document["model"], document.get("added_tokens") or []
    _expect("model type", model.get("type", "BPE"), "BPE")  # GPT-2's own file names none
    _expect("normalizer", document.get("normalizer"), None)
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        _expect(option, model.get(option) or None, None)
    for token in added_tokens:
        for option in ("single_word", "lstrip", "rstrip"):
            _expect(f"{option} of {token['content']!r}", token.get(option, False), False)

    splitter = document.get("pre_tokenizer") or {}
    steps = splitter["pretokenizers"] if splitter.get("type") == "Sequence" else [splitter]
    split_digits = len(steps) == 2
    if split_digits:
        _expect("first pre-tokenizer", steps[0], _DIGITS)
    byte_level = {"use_regex": True} | steps[-1] | {"trim_offsets": True}
    _expect("pre-tokenizer", byte_level if len(steps) <= 2 else splitter, _BYTE_LEVEL)

    # older files join the two halves of a merge with a blank
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    special_tokens = {token["content"]: token["id"] for token in added_tokens}
    tokens = model["vocab"] | special_tokens
    return tokens, [(left, right) for left, right in merges], special_tokens, split_digits


def _expect(what: str, value: Any, wanted: Any) -> None:
    if value != wanted:
        raise ValueError(f"expected {what} {wanted!r}, got {value!r}")
