"""A byte-level BPE tokenizer, as `train_bpe` learns it or as a tokenizer.json describes it."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import chain, compress, pairwise
from pathlib import Path
from typing import Any, Literal, cast

from course_lib.added_tokens import AddedToken, AddedTokens, any_of
from course_lib.pre_tokenization import GPT4_PATTERN, chunks, library_parts, pre_tokenize
from course_lib.shapes import plain_ids
from course_lib.tokenizer_json import (
    CHAR_TO_BYTE,
    parts_of,
    read_tokenizer_json,
    resolve_spelling,
    write_tokenizer_json,
)
from course_lib.twins import twin_of

__all__ = ["BPETokenizer", "bpe_encode_fast"]

_CACHED_WORDS = 100_000
_QWEN_PATTERN = GPT4_PATTERN.replace("{1,3}", "")  # each digit is a word


class _Cache(dict[str, tuple[int, ...]]):
    """The ids of chunks of text: a text repeats its chunks, so each is encoded once."""

    def __init__(self, encode: Callable[[str], Iterable[int]]) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, chunk: str) -> tuple[int, ...]:
        ids = tuple(self._encode(chunk))
        if len(self) < _CACHED_WORDS:
            self[chunk] = ids
        return ids


@dataclass(repr=False)
class BPETokenizer:
    """A byte-level BPE tokenizer; if nothing else is said, with GPT-2's words.

    Attributes:
        vocab: the bytes of each id, special tokens included.
        merge_ranks: when each pair was learnt, 0 first.
        merge_ids: the id each pair becomes.
        special_tokens: texts that are always one token, and their ids.
        split_digits: each digit is a word of its own, as in SmolLM2.
        added_tokens: further tokens that are no words, and special ones with options.
        normalizer: what is done to a text first, as a tokenizer.json describes it.
        pre_tokenizer: what cuts it into words in place of GPT-2's pattern, described likewise; see
            `course_lib.pre_tokenization.split_pattern`.
        unk_id: what stands for a byte that has no token; an error if None.
        fuse_unk: one `unk_id` stands for several such bytes in a row.
        ignore_merges: a word that is a token is not merged from its bytes, as in LLaMA-3.

    Raises:
        ValueError: the `tokenizers` library does not know the normalizer or the pre-tokenizer.
    """

    vocab: dict[int, bytes]
    merge_ranks: dict[tuple[int, int], int]
    merge_ids: dict[tuple[int, int], int]
    special_tokens: dict[str, int] = field(default_factory=dict)
    split_digits: bool = False
    _: KW_ONLY
    added_tokens: dict[str, AddedToken] = field(default_factory=dict)
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: dict[str, Any] | None = None
    unk_id: int | None = None
    fuse_unk: bool = False
    ignore_merges: bool = False

    def __post_init__(self) -> None:
        plain = {token: AddedToken(id) for token, id in self.special_tokens.items()}
        added = plain | self.added_tokens
        beside = {token.id for token in added.values() if not token.in_vocab}
        self._byte_ids: dict[int | str, int] = {
            token[0]: id for id, token in self.vocab.items() if len(token) == 1 and id not in beside
        }
        self._words_as_tokens = {}
        if self.ignore_merges:
            own = {id: token for id, token in self.vocab.items() if id not in beside}
            self._words_as_tokens = {token: id for id, token in own.items()}
        self._cache = _Cache(self._encode_chunk)
        normalizer, self._splitter = library_parts(self.normalizer, self.pre_tokenizer)
        self._added = AddedTokens(added, normalizer.normalize_str if normalizer else None)
        self._special = {text: token.id for text, token in added.items() if token.special}
        self._safe_cut = None if self._may_reach_far(added) else self._cut_between_words()

    def __repr__(self) -> str:
        return f"BPETokenizer({len(self.vocab)} tokens, special: {list(self.special_tokens)})"

    # ---- from text to ids

    def encode(
        self,
        text: str,
        *,
        allowed_special: Literal["all"] | Collection[str] = "all",
        disallowed_special: Literal["all"] | Collection[str] = (),
    ) -> list[int]:
        """The ids of a text.

        Args:
            text: any text.
            allowed_special: special tokens that become their id where they are written in the text;
                others are text like any other. Say `()` for a text that comes from a stranger.
            disallowed_special: texts that are an error; "all" for the special tokens that are not
                allowed. (Both as in tiktoken, whose defaults are `()` and "all".)

        Raises:
            TypeError: `text` is not a str.
            ValueError: a byte of the text has no token (never so after `train_bpe`), it holds half
                of a surrogate pair, or what `disallowed_special` forbids.
        """
        allowed = _choice("allowed_special", allowed_special, self._special)
        ignored = {id for token, id in self._special.items() if token not in allowed}
        others = self._special.keys() - allowed
        forbidden = any_of(_choice("disallowed_special", disallowed_special, others))
        if forbidden and isinstance(text, str) and (match := forbidden.search(text)):
            raise ValueError(f"text holds {match[0]!r}, which disallowed_special forbids")

        ids, ids_of = [], self._cache.__getitem__
        for piece in self._added.cut(text, ignored):
            if isinstance(piece, int):
                ids.append(piece)
            else:
                ids.extend(chain.from_iterable(map(ids_of, self._chunks(piece))))
        return ids

    def _chunks(self, passage: str) -> list[str]:
        if self._splitter is None:
            return chunks(passage, self.split_digits)
        return [word for word, _ in self._splitter.pre_tokenize_str(passage)]

    def _encode_chunk(self, chunk: str) -> Iterator[int]:
        if self._splitter is None:
            words = [chunk] if chunk.isascii() else pre_tokenize(chunk, self.split_digits)
            return chain.from_iterable(self._encode_word(word.encode()) for word in words)
        return iter(self._encode_word([CHAR_TO_BYTE.get(char, char) for char in chunk]))

    def _encode_word(self, word: Sequence[int | str]) -> list[int]:
        """The ids of some bytes; a str among them is a sign that stands for no byte."""
        try:
            ids = [self._byte_ids[byte] for byte in word]
        except KeyError as error:
            if self.unk_id is None:
                raise ValueError(f"text holds byte {error.args[0]}, which has no token") from None
            return self._merge(self._with_unknown(word, self.unk_id))
        if self.ignore_merges:
            known = cast(Sequence[int], word)
            if (whole := self._words_as_tokens.get(bytes(known))) is not None:
                return [whole]
        return self._merge(ids)

    def _with_unknown(self, word: Sequence[int | str], unk_id: int) -> list[int]:
        ids: list[int] = []
        was_known = True
        for byte in word:
            known = byte in self._byte_ids
            if known or was_known or not self.fuse_unk:
                ids.append(self._byte_ids.get(byte, unk_id))
            was_known = known
        return ids

    def _merge(self, ids: list[int]) -> list[int]:
        return bpe_encode_fast(ids, self.merge_ranks, self.merge_ids)

    def encode_iterable(self, lines: Iterable[str], **special: Any) -> Iterator[int]:
        """The ids of a text too long for memory, read line by line as they are needed: those of
        `encode("".join(lines))`.

        What comes after a place between two words cannot change the ids before it, so up to there
        they are given out. Where words are cut by a pattern that is not known here, or a normalizer
        may reach far, or nowhere in the text is a blank, all of it is read first.

        Args:
            lines: pieces of the text, such as an open file.
            special: `allowed_special` and `disallowed_special`, as in `encode`.

        Raises:
            TypeError, ValueError: as `encode`; also if `lines` is a str.
        """
        if isinstance(lines, str):
            raise TypeError("lines must be an iterable of str, such as an open file, got a str")
        return self._encode_lines(lines, special)

    def _encode_lines(self, lines: Iterable[str], special: Mapping[str, Any]) -> Iterator[int]:
        waiting, n_waiting, enough = [], 0, 0
        for line in lines:
            if not isinstance(line, str):
                raise TypeError(f"lines must hold str, got {type(line).__name__}")
            waiting.append(line)
            n_waiting += len(line)
            if self._safe_cut is None or n_waiting < enough:
                continue
            text = "".join(waiting)
            settled = self._settled(text, self._safe_cut)
            if settled:
                yield from self.encode(text[:settled], **special)
            waiting, n_waiting = [text[settled:]], len(text) - settled
            enough = 2 * n_waiting  # so that a long wait is not looked through at every line
        yield from self.encode("".join(waiting), **special)

    def _settled(self, text: str, safe_cut: re.Pattern[str]) -> int:
        """How many characters of a text have ids that nothing behind the text can change."""
        sure = len(text) - self._added.longest
        for start, end in reversed(self._added.passages(text)):
            within = safe_cut.finditer(text, start, min(end, max(start, sure) + 1))
            places = [match.start() for match in within if start < match.start() <= sure]
            if places:
                return places[-1]
        return 0

    def _cut_between_words(self) -> re.Pattern[str] | None:
        """Finds places where two words meet, whatever stands before and behind them."""
        if self.pre_tokenizer is None:
            return re.compile(r"(?<=\S)(?=[ \t\n\r])")
        *split, last = parts_of(self.pre_tokenizer, "pretokenizers")
        patterns = [step.get("pattern", {}).get("Regex") for step in split]
        gpt2 = split == [] and last.get("use_regex", True)  # with a blank put before it
        known = gpt2 or patterns in ([GPT4_PATTERN], [_QWEN_PATTERN])
        return re.compile(r"(?<=\S)(?= )") if known and last["type"] == "ByteLevel" else None

    def _may_reach_far(self, added: Mapping[str, AddedToken]) -> bool:
        """Whether what is done to a text before it is cut may depend on what stands far away."""
        normal_forms = {"NFC", "NFD", "NFKC", "NFKD"}
        normalizers = parts_of(self.normalizer, "normalizers") if self.normalizer else []
        return (
            any(part["type"] not in normal_forms for part in normalizers)
            or (normalizers and any(token.normalized for token in added.values()))
            or any(token.single_word and text.split() != [text] for text, token in added.items())
        )

    # ---- from ids to text

    def decode(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> str:
        """The text of some ids.

        Bytes that are no valid UTF-8, as when an emoji is cut in the middle, show as U+FFFD.

        Args:
            ids: a list, a tensor, an array or any iterable of whole numbers.
            skip_special_tokens: leave special tokens out; otherwise they are as they are written.

        Raises:
            TypeError: `ids` are no whole numbers.
            ValueError: an id is not in the vocabulary.
        """
        skipped = set(self._special.values()) if skip_special_tokens else set()
        try:
            joined = b"".join([self.vocab[id] for id in plain_ids(ids) if id not in skipped])
        except KeyError as error:
            raise ValueError(f"ids must be in vocab, got {error.args[0]!r}") from None
        return joined.decode("utf-8", errors="replace")

    # ---- files

    @classmethod
    def from_spelled(
        cls,
        tokens: Mapping[str, int],
        merges: Iterable[tuple[str, str]],
        special_tokens: Mapping[str, int],
        split_digits: bool = False,
        **options: Any,
    ) -> BPETokenizer:
        """Build from tokens and merges spelled in GPT-2's characters, as files hold them.

        Args:
            tokens: "Ġthe" -> id; special tokens are among them, spelled as they are.
            merges: ("Ġ", "t"), ..., in the order of learning.
            special_tokens: which of the tokens are special.
            split_digits: each digit is a word of its own.
            options: further attributes, such as `ignore_merges`.

        Raises:
            ValueError: a token has a character that stands for no byte, two tokens have the same
                id, or a merge is not of tokens, or not into one.
        """
        vocab, merge_ids = resolve_spelling(tokens, merges, special_tokens)
        merge_ranks = {pair: rank for rank, pair in enumerate(merge_ids)}
        return cls(vocab, merge_ranks, merge_ids, dict(special_tokens), split_digits, **options)

    @classmethod
    def load(cls, path: str | Path) -> BPETokenizer:
        """Read a tokenizer.json, ours or one of the `tokenizers` library.

        Raises:
            OSError: there is no such file.
            ValueError: it holds another kind of tokenizer.
        """
        return cls(**read_tokenizer_json(path))

    def save(self, path: str | Path) -> None:
        """Write a tokenizer.json, which `tokenizers.Tokenizer.from_file` reads too.

        Raises:
            ValueError: two tokens would be spelled the same in it.
        """
        write_tokenizer_json(path, vars(self))


def _choice(
    name: str, chosen: Literal["all"] | Collection[str], every: Collection[str]
) -> set[str]:
    if isinstance(chosen, str) and chosen != "all":
        raise TypeError(f'{name} must be "all" or a collection of str, got the str {chosen!r}')
    chosen = set(every if chosen == "all" else chosen)
    if not all(isinstance(text, str) for text in chosen):
        raise TypeError(f"{name} must hold str, got {chosen!r}")
    return chosen


@twin_of("course_lib.tokenization.bpe_encode")
def bpe_encode_fast(
    ids: Sequence[int],
    merge_ranks: Mapping[tuple[int, int], int],
    merge_ids: Mapping[tuple[int, int], int],
) -> list[int]:
    """What `bpe_encode` gives for merges that were learnt, in n log n steps for n ids.

    Places where a merge applies wait in a heap, the earliest learnt first, the leftmost of these
    first. After a merge, only the pairs beside it are new. So do `tokenizers`, tiktoken and
    llama.cpp; `bpe_encode` merges all places of a pair at once, which makes a difference only if a
    merge comes earlier in the order than the one that makes its parts.

    Raises:
        ValueError: `merge_ids` lacks a pair of `merge_ranks`.
    """
    ids = list(map(int, ids))
    # (rank, place of the left one, the id that they become)
    waiting: list[tuple[int, int, int]] = []

    def look(place: int, pair: tuple[int, int]) -> None:
        rank = merge_ranks.get(pair)
        if rank is not None:
            if pair not in merge_ids:
                raise ValueError(f"merge_ids must hold every pair of merge_ranks, but lacks {pair}")
            heapq.heappush(waiting, (rank, place, merge_ids[pair]))

    for place, pair in enumerate(pairwise(ids)):
        look(place, pair)
    if not waiting:
        return ids
    end = len(ids)
    right_of, left_of = list(range(1, end + 1)), list(range(-1, end))
    alive = [True] * end
    while waiting:
        _, place, new_id = heapq.heappop(waiting)
        right = right_of[place]
        if not alive[place] or right == end or merge_ids.get((ids[place], ids[right])) != new_id:
            continue  # one of the two has become part of something else since
        ids[place], alive[right] = new_id, False
        right_of[place] = after = right_of[right]
        left_of[after] = place
        if after < end:
            look(place, (new_id, ids[after]))
        if (before := left_of[place]) >= 0:
            look(before, (ids[before], new_id))
    return list(compress(ids, alive))
