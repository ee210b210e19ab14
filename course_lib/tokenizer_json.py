"""The file format of the `tokenizers` library (tokenizer.json), for byte-level BPE.

JSON holds text, a token is bytes; GPT-2 spells each byte as one visible character to bridge the
two, so " é" (bytes 20 C3 A9) is written "ĠÃ©".
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from course_lib.added_tokens import AddedToken
from course_lib.pre_tokenization import GPT2_PATTERN, check_text, library_parts

__all__ = [
    "BYTE_TO_CHAR",
    "CHAR_TO_BYTE",
    "parts_of",
    "read_tokenizer_json",
    "resolve_spelling",
    "spell",
    "unspell",
    "write_tokenizer_json",
]


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
            an id is no whole number, or a merge is not of tokens, or not into one.
    """
    if not all(type(id) is int and id >= 0 for id in tokens.values()):
        wrong = next(item for item in tokens.items() if type(item[1]) is not int or item[1] < 0)
        raise ValueError(f"tokens must have whole numbers as ids, got {wrong}")
    vocab = {
        id: token.encode() if token in special_tokens else unspell(token)
        for token, id in tokens.items()
    }
    if len(vocab) != len(tokens):
        raise ValueError(f"tokens must have distinct ids, got {len(vocab)} for {len(tokens)}")
    merge_ids: dict[tuple[int, int], int] = {}
    for left, right in merges:
        for token in (left, right, left + right):
            if token not in tokens:
                raise ValueError(f"merges: {left!r} + {right!r} needs {token!r}, which is no token")
        pair = tokens[left], tokens[right]
        merge_ids.pop(pair, None)  # of a pair that comes twice, the last place counts
        merge_ids[pair] = tokens[left + right]
    return vocab, merge_ids


_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,  # does not touch the words
    "use_regex": True,
}
_DIGITS = {"type": "Digits", "individual_digits": True}
_GPT2_SPLITS = [  # the same words, written in two ways
    {"type": "Split", "pattern": {"Regex": GPT2_PATTERN}, "behavior": behavior, "invert": invert}
    for behavior, invert in (("Isolated", False), ("Removed", True))
]


def write_tokenizer_json(path: str | Path, attributes: Mapping[str, Any]) -> None:
    """Write a file that `tokenizers.Tokenizer.from_file` reads.

    Args:
        path: where to.
        attributes: those of a `BPETokenizer`, as `read_tokenizer_json` gives them.

    Raises:
        ValueError: two tokens would be spelled the same.
    """
    added = {token: AddedToken(id) for token, id in attributes["special_tokens"].items()}
    added |= attributes["added_tokens"]
    spelled = {id: spell(token) for id, token in attributes["vocab"].items()}
    spelled |= {token.id: content for content, token in added.items()}
    if len(set(spelled.values())) != len(spelled):
        twice = [token for token, n in Counter(spelled.values()).items() if n > 1]
        raise ValueError(f"these tokens cannot be told apart in a tokenizer.json: {twice}")

    beside = {token.id for token in added.values() if not token.in_vocab}
    merges = sorted(attributes["merge_ranks"], key=attributes["merge_ranks"].__getitem__)
    splitter = {"type": "Sequence", "pretokenizers": [_DIGITS, _BYTE_LEVEL]}
    document = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"content": content} | {k: v for k, v in asdict(token).items() if k != "in_vocab"}
            for content, token in sorted(added.items(), key=lambda item: item[1].id)
        ],
        "normalizer": attributes["normalizer"],
        "pre_tokenizer": attributes["pre_tokenizer"]
        or (splitter if attributes["split_digits"] else _BYTE_LEVEL),
        "post_processor": None,
        "decoder": _BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None if attributes["unk_id"] is None else spelled[attributes["unk_id"]],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": attributes["fuse_unk"],
            "byte_fallback": False,
            "ignore_merges": attributes["ignore_merges"],
            "vocab": {token: id for id, token in sorted(spelled.items()) if id not in beside},
            "merges": [(spelled[left], spelled[right]) for left, right in merges],
        },
    }
    Path(path).write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")


def read_tokenizer_json(path: str | Path) -> dict[str, Any]:
    """Read a byte-level BPE tokenizer.

    Whatever the `tokenizers` library does to a text and its words before the model sees them, it
    does here too, as long as the words come out in bytes. Of the model itself, what would give
    other ids is refused by name: dropout, affixes of words, fallback to bytes, another decoder.

    What the file says about truncation, padding and post-processing is left aside: it changes
    what is put around the ids of a text, not the ids.

    Returns:
        The attributes of a `BPETokenizer`.

    Raises:
        OSError: there is no such file.
        ValueError: it is not a tokenizer.json, or asks for something else.
    """
    content = Path(path).read_bytes()
    try:
        return _parse(json.loads(content))
    except ValueError as error:
        raise ValueError(f"{path} holds no byte-level BPE tokenizer: {error}") from error
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is not shaped like a tokenizer.json: {error!r}") from error


def _parse(document: dict[str, Any]) -> dict[str, Any]:
    model, decoder = document["model"], document.get("decoder")
    _expect("model type", model.get("type", "BPE"), "BPE")  # GPT-2's own file names none
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        _expect(option, model.get(option) or None, None)
    if decoder is not None:
        _expect("decoder", decoder["type"], "ByteLevel")

    added = _added_tokens(document.get("added_tokens") or [], model["vocab"])
    as_written = {token for token in added if not CHAR_TO_BYTE.keys() >= set(token)}
    # older files join the two halves of a merge with a blank
    merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    pairs = [(left, right) for left, right in merges]
    vocab, merge_ids = resolve_spelling(model["vocab"], pairs, as_written)
    for content, token in added.items():
        if not token.in_vocab:
            if token.id in vocab:
                raise ValueError(f"added token {content!r} has the id {token.id} of another token")
            vocab[token.id] = content.encode()
    if model.get("byte_fallback"):
        lacking = set(BYTE_TO_CHAR.values()) - model["vocab"].keys()
        _expect("byte_fallback, where bytes have no token,", bool(lacking), False)

    pre_tokenizer, split_digits = _words(document.get("pre_tokenizer"))
    normalizer = document.get("normalizer")
    library_parts(normalizer, pre_tokenizer)
    if normalizer and "ByteLevel" in [part["type"] for part in parts_of(normalizer, "normalizers")]:
        raise ValueError("a normalizer 'ByteLevel' is not known here")
    return {
        "vocab": vocab,
        "merge_ranks": {pair: rank for rank, pair in enumerate(merge_ids)},
        "merge_ids": merge_ids,
        "special_tokens": {content: token.id for content, token in added.items() if token.special},
        "split_digits": split_digits,
        "added_tokens": {
            content: token for content, token in added.items() if token != AddedToken(token.id)
        },
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "unk_id": model["vocab"].get(model.get("unk_token")),
        "fuse_unk": bool(model.get("fuse_unk")),
        "ignore_merges": bool(model.get("ignore_merges")),
    }


def _added_tokens(entries: Iterable[dict[str, Any]], vocab: Mapping[str, int]) -> dict[str, Any]:
    added: dict[str, AddedToken] = {}
    options = ("normalized", "lstrip", "rstrip", "single_word")
    for entry in entries:
        content, id, special = entry["content"], entry["id"], bool(entry.get("special", False))
        check_text(content, "added token")
        if type(id) is not int or vocab.get(content, id) != id:
            own = vocab.get(content)
            raise ValueError(f"added token {content!r} has the id {id!r}, in the vocabulary {own}")
        flags = {"normalized": not special} | {o: bool(entry[o]) for o in options if o in entry}
        added[content] = AddedToken(id, special, **flags, in_vocab=content in vocab)
    if len({token.id for token in added.values()}) != len(added):
        raise ValueError("added tokens must have distinct ids")
    return added


def _words(described: dict[str, Any] | None) -> tuple[dict[str, Any] | None, bool]:
    """The pre-tokenizer, None if it cuts GPT-2's words, and whether each digit is one."""
    parts = parts_of(described or {"type": None}, "pretokenizers")
    spellers = [part for part in parts if part["type"] == "ByteLevel"]
    if len(spellers) != 1:
        raise ValueError(f"expected one pre-tokenizer 'ByteLevel', got {described!r}")
    split_digits = parts[0] == _DIGITS
    *split, last = parts[split_digits:]
    last = {"use_regex": True} | last | {"trim_offsets": True}
    if split == [] and last == _BYTE_LEVEL:
        return None, split_digits
    if len(split) == 1 and split[0] in _GPT2_SPLITS and last == _BYTE_LEVEL | {"use_regex": False}:
        return None, split_digits
    return described, False


def parts_of(described: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The steps of a normalizer or pre-tokenizer, sequences within sequences in a row."""
    if described["type"] != "Sequence":
        return [described]
    return [part for step in described[key] for part in parts_of(step, key)]


def _expect(what: str, value: Any, wanted: Any) -> None:
    if value != wanted:
        raise ValueError(f"expected {what} {wanted!r}, got {value!r}")
