"""The file format of the `tokenizers` library (tokenizer.json), for byte-level BPE.

JSON holds text, a token is bytes; GPT-2 spells each byte as one visible character to bridge the
two, so " é" (bytes 20 C3 A9) is written "ĠÃ©".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple


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


class BytePairModel(NamedTuple):
    """What a tokenizer.json says: tokens and merges spelled as `spell` does, special tokens as
    they are."""

    tokens: dict[str, int]
    merges: list[tuple[str, str]]
    special_tokens: dict[str, int]
    split_digits: bool


_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_DIGITS = {"type": "Digits", "individual_digits": True}


def write_tokenizer_json(path: str | Path, model: BytePairModel) -> None:
    """Write a file that `tokenizers.Tokenizer.from_file` reads."""
    splitter = {"type": "Sequence", "pretokenizers": [_DIGITS, _BYTE_LEVEL]}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": id, "content": token, **flags, "special": True}
            for token, id in model.special_tokens.items()
        ],
        "normalizer": None,
        "pre_tokenizer": splitter if model.split_digits else _BYTE_LEVEL,
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
            "vocab": model.tokens,
            "merges": model.merges,
        },
    }
    Path(path).write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")


def read_tokenizer_json(path: str | Path) -> BytePairModel:
    """Read a byte-level BPE model with GPT-2's pre-tokenisation.

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


def _parse(document: dict[str, Any]) -> BytePairModel:
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
    # trim_offsets does not touch the words
    byte_level = {"use_regex": True} | steps[-1] | {"trim_offsets": True}
    _expect("pre-tokenizer", byte_level if len(steps) <= 2 else splitter, _BYTE_LEVEL)

    # older files join the two halves of a merge with a blank
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    special_tokens = {token["content"]: token["id"] for token in added_tokens}
    return BytePairModel(
        tokens=model["vocab"] | special_tokens,
        merges=[(left, right) for left, right in merges],
        special_tokens=special_tokens,
        split_digits=split_digits,
    )


def _expect(what: str, value: Any, wanted: Any) -> None:
    if value != wanted:
        raise ValueError(f"expected {what} {wanted!r}, got {value!r}")
