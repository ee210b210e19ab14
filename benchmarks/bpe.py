"""Byte pair encoding: training and encoding beside `tokenizers` and `tiktoken`.

    python benchmarks/bpe.py

The text is Python itself: the language reference, then the standard library's sources in order of
name, until there are 10 MB. Both sides start cold in each round: a new tokenizer, empty caches.

- Training gets the same merges, or the benchmark stops. `tokenizers` is given the text in passages
  of some 10,000 characters, which suits it better than one long text (and lets it use all cores).
- Encoding gets the same ids. Offsets and other by-products are left out: `tokenizers` runs
  `encode_batch_fast` on passages, `tiktoken` runs `encode_ordinary`.
- One thread: `RAYON_NUM_THREADS=1`, and the processor's time is compared with the clock's. All
  cores: the same call in a process of its own without that limit. Our code has one thread.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import statistics
import sysconfig
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import tiktoken
from side_by_side import Comparison, Growth, in_turn, save
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from course_lib.data.python_reference import python_reference_text
from course_lib.fast import train_bpe_fast
from course_lib.pre_tokenization import GPT2_PATTERN, chunks
from course_lib.tokenization import BPETokenizer
from course_lib.tokenizer_json import spell

MB = 1_000_000
SMALL, LARGE = MB // 2, 10 * MB
VOCAB_SIZES = [1000, 8000, 32000]
GROWTH_SIZES = [LARGE // 16, LARGE // 8, LARGE // 4, LARGE // 2, LARGE]
ROUNDS = 5


def real_text() -> str:
    """10 MB of English and Python."""
    parts, n_bytes = [python_reference_text()], 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if n_bytes >= LARGE:
            break
        if "site-packages" not in path.parts:
            parts.append(path.read_text(encoding="utf-8", errors="replace"))
            n_bytes += path.stat().st_size
    text = "".join(parts)[:LARGE]
    if len(text) < LARGE:
        raise SystemExit(f"this Python has only {len(text) / MB:.1f} MB of sources")
    return text


def passages(text: str) -> list[str]:
    """The text in some 10,000 characters each, cut where the words stay what they are."""
    line_end = re.compile(r"(?<=\S)(?=\n)")
    cuts = [0]
    while place := line_end.search(text, cuts[-1] + 10_000):
        cuts.append(place.start())
    return [text[start:end] for start, end in zip(cuts, [*cuts[1:], len(text)])]


def library_train(texts: Sequence[str], vocab_size: int) -> Tokenizer:
    """What `tokenizers` learns."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def assert_same_merges(ours: BPETokenizer, theirs: Tokenizer) -> None:
    spelled = [tuple(spell(ours.vocab[id]) for id in pair) for pair in ours.merge_ids]
    assert spelled == [tuple(pair) for pair in json.loads(theirs.to_str())["model"]["merges"]]


def train_when_asked(orders: Connection) -> None:
    """In a process of its own: train on all cores, as often as asked."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ["RAYON_NUM_THREADS"] = str(os.cpu_count())
    text = real_text()
    cut = {n: passages(text[:n]) for n in (SMALL, LARGE)}
    while (order := orders.recv()) is not None:
        n, vocab_size = order
        library_train(cut[n], vocab_size)
        orders.send("done")


def check_one_thread(work: Callable[[], object]) -> None:
    clock, processor = time.perf_counter(), time.process_time()
    work()
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    assert processor < 1.05 * clock, f"{processor:.2f} s of processor in {clock:.2f} s"


def compare_training(text: str) -> tuple[list[Comparison], Growth]:
    """Both sizes, all vocabularies, beside one thread and all cores."""
    spawn = multiprocessing.get_context("spawn")
    orders, theirs = spawn.Pipe()
    process = spawn.Process(target=train_when_asked, args=(theirs,), daemon=True)
    process.start()

    def on_all_cores(n: int, vocab_size: int) -> None:
        orders.send((n, vocab_size))
        orders.recv()

    comparisons, medians = [], []
    for n in (SMALL, LARGE):
        part = text[:n]
        cut = passages(part)
        cutting = min(in_turn({"cutting": lambda part=part: chunks(part)}, 3)["cutting"])
        for size in VOCAB_SIZES:
            trained = train_bpe_fast(part, size)
            assert_same_merges(trained, library_train(cut, size))
            ways = {
                "ours": lambda part=part, size=size: train_bpe_fast(part, size),
                "one thread": lambda cut=cut, size=size: library_train(cut, size),
                "all cores": lambda n=n, size=size: on_all_cores(n, size),
            }
            check_one_thread(ways["one thread"])
            ways["all cores"]()
            seconds = in_turn(ways, ROUNDS, warm_up=0)
            merging = (statistics.median(seconds["ours"]) - cutting) / len(trained.merge_ids)
            for peer, goal in {"one thread": 1.0, "all cores": 1 / 1.5}.items():
                comparisons.append(
                    Comparison(
                        f"train_bpe_fast: {n / MB:g} MB, {size:,} tokens, same merges",
                        f"tokenizers, {peer}",
                        seconds["ours"],
                        seconds[peer],
                        goal,
                        f"{cutting:.2f} s to cut the text, then {merging * 1e6:.0f} µs of Python "
                        "for each merge",
                    )
                )
            if n == LARGE:
                medians.append(statistics.median(seconds["ours"]))
    orders.send(None)
    process.join()
    return comparisons, Growth(f"train_bpe_fast, {LARGE / MB:g} MB", "tokens", VOCAB_SIZES, medians)


def compare_encoding(text: str, trained: BPETokenizer, library: Tokenizer) -> list[Comparison]:
    """10 MB with the largest vocabulary, one thread, tokens only."""
    cut = passages(text)
    model = library.to_str()
    ranks = {token: id for id, token in trained.vocab.items()}

    def ours() -> list[int]:
        return cold(trained).encode(text)

    def by_tokenizers() -> list[int]:
        encodings = Tokenizer.from_str(model).encode_batch_fast(cut, add_special_tokens=False)
        return [id for encoding in encodings for id in encoding.ids]

    def by_tiktoken() -> list[int]:
        encoding = tiktoken.Encoding(
            "ours", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={}
        )
        return encoding.encode_ordinary(text)

    ids = ours()
    assert ids == by_tokenizers() and ids == by_tiktoken()
    for work in (by_tokenizers, by_tiktoken):
        check_one_thread(work)
    ways = {
        "ours": ours,
        "tokenizers, one thread": by_tokenizers,
        "tiktoken, one thread": by_tiktoken,
        "every word known": lambda: trained.encode(text),
    }
    trained.encode(text)
    seconds = in_turn(ways, ROUNDS, warm_up=0)
    warm = statistics.median(seconds.pop("every word known"))
    return [
        Comparison(
            f"BPETokenizer.encode: {LARGE / MB:g} MB, {len(ids):,} ids, the same",
            peer,
            seconds["ours"],
            seconds[peer],
            1.0,
            f"{warm:.2f} s even with every word known: to cut the text and look its words up",
        )
        for peer in seconds
        if peer != "ours"
    ]


def cold(tokenizer: BPETokenizer) -> BPETokenizer:
    """The same tokenizer with an empty cache."""
    return BPETokenizer(tokenizer.vocab, tokenizer.merge_ranks, tokenizer.merge_ids)


def growth_with_size(
    work: str, sizes: Sequence[int], do: Callable[[str], object], text: str
) -> Growth:
    ways = {str(n): lambda part=text[:n]: do(part) for n in sizes}
    costs = [min(seconds) for seconds in in_turn(ways, rounds=3, warm_up=0).values()]
    return Growth(work, "characters", sizes, costs)


def main() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # read when the library first works
    os.environ["RAYON_NUM_THREADS"] = "1"

    text = real_text()
    comparisons, with_vocabulary = compare_training(text)
    trained = train_bpe_fast(text, VOCAB_SIZES[-1])
    library = library_train(passages(text), VOCAB_SIZES[-1])
    comparisons += compare_encoding(text, trained, library)
    growths = [
        growth_with_size(
            "train_bpe_fast, 8,000 tokens",
            GROWTH_SIZES,
            lambda part: train_bpe_fast(part, 8000),
            text,
        ),
        with_vocabulary,
        growth_with_size(
            "BPETokenizer.encode", GROWTH_SIZES, lambda part: cold(trained).encode(part), text
        ),
    ]
    save("bpe", "Byte pair encoding", comparisons, growths)


if __name__ == "__main__":
    main()
