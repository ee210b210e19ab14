"""Added tokens: texts that are one token each, cut out of a text before it is cut into words."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from tokenizers import pre_tokenizers

from course_lib.pre_tokenization import check_text

__all__ = ["AddedToken", "AddedTokens", "any_of"]

_WHITE = {char for char in map(chr, range(0x3001)) if char.isspace()} - set("\x1c\x1d\x1e\x1f")
_WORDS = pre_tokenizers.Whitespace()  # its words are what the library calls words here, too


@dataclass(frozen=True)
class AddedToken:
    """How an added token is found in a text: the options of `tokenizers.AddedToken`.

    Attributes:
        id: its id.
        special: it controls the model, as "<|endoftext|>" does, and is no text.
        normalized: it is looked for after normalisation, in its own normalised form.
        lstrip, rstrip: it swallows the white space before it, behind it.
        single_word: it is not found where a letter, digit or mark stands beside it.
        in_vocab: it is one of the model's own tokens; otherwise it stands beside them.
    """

    id: int
    special: bool = True
    normalized: bool = False
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    in_vocab: bool = True


class AddedTokens:
    """Finds added tokens, where `tokenizers` finds them: those that are not normalized first, then,
    in what is left and normalised, the others; of each kind the leftmost, and the longest of these.

    Args:
        tokens: the texts and how they are found.
        normalize: the tokenizer's normalizer, if it has one.

    Raises:
        ValueError: nothing is left of a token when it is normalised, or there was nothing.
    """

    def __init__(
        self, tokens: Mapping[str, AddedToken], normalize: Callable[[str], str] | None = None
    ) -> None:
        self._normalize = normalize
        # where two are equal once they are normalised, the first is taken, special ones before
        special_first = sorted(tokens.items(), key=lambda item: not item[1].special)
        self._raw: dict[str, AddedToken] = {}
        self._normalized: dict[str, AddedToken] = {}
        for content, token in special_first:
            if not token.normalized:
                self._raw[content] = token
                continue
            found = normalize(content) if normalize else content
            self._normalized.setdefault(found, token)
        if "" in self._raw or "" in self._normalized:
            raise ValueError(f"added tokens must not be empty, got {list(tokens)}")
        self._raw_pattern = any_of(self._raw)
        self._normalized_pattern = any_of(self._normalized)
        self.longest = max(map(len, tokens), default=0)  # in characters

    def cut(self, text: str, ignored: Collection[int] = ()) -> Iterator[str | int]:
        """Passages, normalised, and the ids of the tokens between them.

        Args:
            text: what to cut.
            ignored: ids of tokens that are to be taken for text.

        Raises:
            TypeError: `text` is not a str.
            ValueError: it holds half of a surrogate pair.
        """
        check_text(text)
        for start, end, id in _found(text, self._raw, self._raw_pattern, ignored):
            if id is not None:
                yield id
                continue
            passage = text[start:end]
            if self._normalize:
                passage = self._normalize(passage)
            tokens, pattern = self._normalized, self._normalized_pattern
            for start_within, end_within, id in _found(passage, tokens, pattern, ignored):
                yield passage[start_within:end_within] if id is None else id

    def passages(self, text: str) -> list[tuple[int, int]]:
        """Where the passages between tokens start and end in a text, before they are normalised,
        and without the tokens that are found only after that."""
        found = _found(text, self._raw, self._raw_pattern, ())
        spans = [(start, end) for start, end, id in found if id is None]
        if self._normalize:
            return spans
        return [
            (start + start_within, start + end_within)
            for start, end in spans
            for start_within, end_within, id in _found(
                text[start:end], self._normalized, self._normalized_pattern, ()
            )
            if id is None
        ]


def any_of(texts: Collection[str]) -> re.Pattern[str] | None:
    """A pattern that finds the leftmost of some texts, and the longest of these; None for none."""
    if not texts:
        return None
    return re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True))))


def _found(
    text: str,
    tokens: Mapping[str, AddedToken],
    pattern: re.Pattern[str] | None,
    ignored: Collection[int],
) -> Iterator[tuple[int, int, int | None]]:
    """(start, end, id) of the tokens in a text, and of what is between them; its id is None."""
    done = 0
    for match in pattern.finditer(text) if pattern else ():
        token, (start, end) = tokens[match[0]], match.span()
        if token.id in ignored:
            continue
        beside = text[max(start - 1, 0) : start], text[end : end + 1]
        if token.single_word and any(map(_is_word, beside)):
            continue
        if token.lstrip:
            start = max(start, done)  # what the token before it has swallowed is gone
        while token.lstrip and start > done and text[start - 1] in _WHITE:
            start -= 1
        while token.rstrip and end < len(text) and text[end] in _WHITE:
            end += 1
        if done < start:
            yield done, start, None
        if start < end:
            yield start, end, token.id
        done = end
    if done < len(text):
        yield done, len(text), None


@lru_cache(maxsize=10_000)
def _is_word(char: str) -> bool:
    """Whether this is a letter, a mark, a digit or a sign that joins words, as "_"."""
    return char != "" and _WORDS.pre_tokenize_str("a" + char)[0][0] == "a" + char
