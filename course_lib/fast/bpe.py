"""Byte pair encoding for long texts: what `train_bpe` learns, in a fraction of its time."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain
from operator import add

from course_lib.pre_tokenization import chunks, pre_tokenize, split_special
from course_lib.tokenization import BPETokenizer, train_bpe
from course_lib.twins import twin_of

__all__ = ["train_bpe_fast"]


@twin_of("course_lib.tokenization.train_bpe")
def train_bpe_fast(text: str, vocab_size: int, special_tokens: Sequence[str] = ()) -> BPETokenizer:
    """Learn the tokenizer that `train_bpe` learns. It raises the same errors, and one more.

    It walks the same way, with three short cuts:

    - A word is a str of one character per id. So Python's own search finds a pair in it.
    - Where a pair stands once in a word, as it nearly always does, only the pairs left and right
      of it change. The other pairs of the word are not looked at.
    - A pair that became rarer stays in the heap with its old count. When it comes up, it is put
      back with the new one.

    Raises:
        ValueError: there are more tokens to learn than Unicode has characters (1,114,112).
    """
    untrained = train_bpe("", vocab_size, special_tokens)
    vocab, merge_ids = untrained.vocab, untrained.merge_ids
    token_ids = {token: id for id, token in vocab.items()}

    passages = split_special(text, special_tokens)[::2]
    word_counts: Counter[str] = Counter()
    for chunk, count in Counter(chain.from_iterable(map(chunks, passages))).items():
        for word in [chunk] if chunk.isascii() else pre_tokenize(chunk):
            word_counts[word] += count
    id_chars = {byte: chr(token_ids[bytes([byte])]) for byte in range(256)}
    words = [word.encode().decode("latin-1").translate(id_chars) for word in word_counts]
    counts = list(word_counts.values())

    pair_counts: dict[str, int] = {}
    words_with: dict[str, list[int]] = defaultdict(list)  # where a pair is, or once was
    # pairs by count: a heap of the counts, highest first; of each count's pairs, lowest ids first
    heap_of_counts: list[int] = []
    heaps_of_pairs: dict[int, list[str]] = {}

    def put(pair: str, count: int) -> None:
        if count not in heaps_of_pairs:
            heaps_of_pairs[count] = []
            heapq.heappush(heap_of_counts, -count)
        heapq.heappush(heaps_of_pairs[count], pair)

    def enter(found: dict[str, list[int]]) -> None:
        """Pairs that have come into being: for each, the word of each place."""
        for pair, numbers in found.items():
            words_with[pair] += numbers
            count = pair_counts.get(pair, 0) + sum(map(counts.__getitem__, numbers))
            pair_counts[pair] = count
            put(pair, count)

    found = defaultdict(list)
    for number, word in enumerate(words):
        for pair in map(add, word, word[1:]):
            found[pair].append(number)
    enter(found)

    while len(vocab) < vocab_size and heap_of_counts:
        count = -heap_of_counts[0]
        if not heaps_of_pairs[count]:
            del heaps_of_pairs[-heapq.heappop(heap_of_counts)]
            continue
        pair = heapq.heappop(heaps_of_pairs[count])
        if pair_counts[pair] != count:
            if pair_counts[pair] > 0:
                put(pair, pair_counts[pair])
            continue

        left, right = pair[0], pair[1]
        token = vocab[ord(left)] + vocab[ord(right)]
        new_id = merge_ids[ord(left), ord(right)] = token_ids.setdefault(token, len(token_ids))
        vocab[new_id] = token
        new = chr(new_id)

        found = defaultdict(list)
        for number in words_with.pop(pair):
            word, count = words[number], counts[number]
            parts = word.split(pair)
            if len(parts) == 2:
                before, after = parts
                words[number] = before + new + after
                if before:
                    id_before = before[-1]
                    pair_counts[id_before + left] -= count
                    found[id_before + new].append(number)
                if after:
                    id_after = after[0]
                    pair_counts[right + id_after] -= count
                    found[new + id_after].append(number)
            elif len(parts) > 2:  # several times: the whole word is counted anew
                words[number] = new_word = new.join(parts)
                for old_pair in map(add, word, word[1:]):
                    pair_counts[old_pair] -= count
                for new_pair in map(add, new_word, new_word[1:]):
                    found[new_pair].append(number)
        pair_counts[pair] = 0
        enter(found)

    merge_ranks = {pair: rank for rank, pair in enumerate(merge_ids)}
    return BPETokenizer(vocab, merge_ranks, merge_ids, untrained.special_tokens)
