"""Writing with SmolLM2: ours beside `generate` of `transformers`, from the same weights.

    python benchmarks/generation.py

Greedy with a cache for one and for eight texts, sampling with top-p, and beam search.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable
from functools import partial

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from side_by_side import Comparison, Fact, Growth, in_turn, save
from torch import Tensor
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from course_lib.decoder import DecoderLM, decode_step
from course_lib.decoding import apply_temperature, beam_search, generate, log_probs_of
from course_lib.fast import FastDecoder, fast_beam_search, fast_top_p_filter
from course_lib.pretrained import load_smollm2
from course_lib.pretrained.export import export_decoder

THREADS = 2
NEW, PROMPT = 24, 16  # tokens
WIDTH = 4  # beams
TEMPERATURE, TOP_P = 0.8, 0.9
GREEDY_GOAL, OTHER_GOAL = 2.0, 1.5
TEXTS = [
    "Once upon a time there was a small robot who lived in a house at the end of a long road. He",
    "The capital of France is Paris, and the capital of Italy is Rome. Rivers run through both,",
    "To bake bread you need flour, water, salt and yeast. First mix the flour with the water, then",
    "A computer reads one instruction after another. Each instruction is small, but many of them",
    "The moon goes around the earth once in about a month. From here we always see the same",
    "In the morning the market was full of people. They sold apples, fish and old books, and",
    "Plants make sugar out of light, water and air. They keep what they need, and they let go",
    "She opened the letter, read it twice, and put it back on the table. Then she went to a window",
]


class Peer:
    """A `transformers` model with our weights, called for ids."""

    def __init__(self, model: DecoderLM, dtype: torch.dtype) -> None:
        with tempfile.TemporaryDirectory() as folder:
            export_decoder(model, folder)
            self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
        self.model.generation_config.eos_token_id = None  # every text gets all its tokens
        self.model.generation_config.pad_token_id = 0

    def write(self, ids: Tensor, new: int = NEW, **options) -> list[list[int]]:
        mask = torch.ones_like(ids)
        options = {"do_sample": False, "max_new_tokens": new} | options
        return self.model.generate(ids, attention_mask=mask, **options)[:, ids.shape[1] :].tolist()

    def sample(self, ids: Tensor) -> list[list[int]]:
        torch.manual_seed(0)
        options = {"do_sample": True, "temperature": TEMPERATURE, "top_p": TOP_P, "top_k": 0}
        return self.write(ids, **options)

    def search(self, ids: Tensor) -> list[list[int]]:
        return self.write(ids, num_beams=WIDTH)


def write(model: DecoderLM | FastDecoder, ids: Tensor, new: int = NEW) -> list[list[int]]:
    return generate(model, ids, max_new_tokens=new)[0]


def sample(model: FastDecoder, ids: Tensor) -> list[list[int]]:
    filters = [
        partial(apply_temperature, temperature=TEMPERATURE),
        partial(fast_top_p_filter, p=TOP_P),
    ]
    generator = torch.Generator().manual_seed(0)
    return generate(model, ids, max_new_tokens=NEW, filters=filters, generator=generator)[0]


def search(model: FastDecoder, ids: Tensor) -> list[list[int]]:
    (start,) = ids.tolist()
    found, _ = fast_beam_search(model, start, WIDTH, PROMPT + NEW, end_id=-1, length_penalty=1.0)
    return [found[PROMPT:]]


def bandwidth() -> float:
    """Bytes a second at which this machine reads a matrix that is larger than its caches, when it
    does as little else as it can: the best of some tries of a sum and of a product with a vector.
    """
    matrix, vector = torch.ones(2**14, 2**14), torch.ones(2**14)
    times = in_turn({"sum": matrix.sum, "product": lambda: matrix @ vector}, rounds=5)
    return matrix.nbytes / min(min(seconds) for seconds in times.values())


def bytes_of_weights(model: DecoderLM, weights: str) -> float:
    """What a step of one text reads: every block, and the head (the token table again)."""
    head = model.token_embedding.weight.numel()
    blocks = sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2)
    per_weight = {"float32": 4, "bfloat16": 2, "int4": 0.5 + 4 / 32}[weights]  # 2 scales a group
    return blocks * per_weight + head * (4 if weights == "float32" else 2)


def products_alone(fast: FastDecoder, rows: int) -> float:
    """The seconds that the products with the weights take in one step of writing: nobody who
    computes in this way is quicker than these."""

    def products() -> None:
        for layer in fast._layers:
            layer.qkv(x), layer.out(x), layer.widen(x), layer.narrow(wide)
        fast._head(x)

    x = torch.randn(rows, 1, fast.config.width)
    wide = torch.randn(rows, 1, fast.config.ffn_width)
    with torch.no_grad():
        return statistics.median(in_turn({"products alone": products})["products alone"])


def quality(model: DecoderLM, fast: FastDecoder, ids: Tensor) -> tuple[float, float]:
    """The largest difference of a logit on these texts, and in how many percent of the places the
    likeliest next token is the same."""
    with torch.no_grad():
        expected, got = model(ids), fast_steps(fast, ids)
    same = (expected.argmax(-1) == got.argmax(-1)).float().mean()
    return (expected - got).abs().max().item(), 100 * same.item()


def fast_steps(fast: FastDecoder, ids: Tensor) -> Tensor:
    """The logits after every token, read one by one as in writing."""
    logits, cache = [], None
    for token in ids.split(1, dim=1):
        step, cache = decode_step(fast, token, cache)
        logits.append(step)
    return torch.stack(logits, dim=1)


def main() -> None:
    torch.set_num_threads(THREADS)
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    model, tokenizer = load_smollm2()
    many = torch.tensor([tokenizer.encode(text)[:PROMPT] for text in TEXTS])
    one = many[:1]
    peer, half_peer = Peer(model, torch.float32), Peer(model, torch.bfloat16)
    fast = {w: FastDecoder(model, w) for w in ("float32", "bfloat16", "int4")}
    speed = bandwidth()
    comparisons, facts = [], [Fact("memory read", [speed / 1e9], "GB/s")]

    def compare(
        work: str,
        calls: dict[str, Callable[[], object]],
        exact: list[str],
        goal: float,
        peers: dict[str, str],
        rows: int,
    ) -> dict[str, list[float]]:
        """The first call is the peer that all ids are compared with."""
        expected = next(iter(calls.values()))()
        for name in exact:
            assert calls[name]() == expected, f"{work}, {name}: other ids"
        seconds = in_turn(calls)
        for name, beside in peers.items():
            ours, theirs = seconds[name], seconds[beside]
            if name == "clear":
                comparisons.append(Comparison(f"{work}, {name}", beside, ours, theirs))
                continue
            step = 1000 * statistics.median(ours) / NEW
            alone = 1000 * products_alone(fast[name], rows)
            bound = (
                f"the products with the weights alone take {alone:.0f} of our {step:.0f} ms a step"
            )
            comparisons.append(Comparison(f"{work}, {name}", beside, ours, theirs, goal, bound))
        return seconds

    for ids in (one, many):
        rows = len(ids)
        work = f"greedy, {rows} text{'s' * (rows > 1)}, {NEW} tokens"
        calls = {
            "transformers": lambda ids=ids: peer.write(ids),
            "transformers, bfloat16": lambda ids=ids: half_peer.write(ids),
            "clear": lambda ids=ids: write(model, ids),
        }
        calls |= {w: lambda m=m, ids=ids: write(m, ids) for w, m in fast.items()}
        peers = {"clear": "transformers", "float32": "transformers"}
        peers |= {"bfloat16": "transformers, bfloat16", "int4": "transformers"}
        seconds = compare(work, calls, ["clear", "float32"], GREEDY_GOAL, peers, rows)
        for name, times in seconds.items():
            rates = [rows * NEW / time for time in times]
            facts.append(Fact(f"greedy, {rows} at a time, {name}", rates, "tokens/s"))
            if rows == 1 and name in fast:
                size = bytes_of_weights(model, name)
                share = [100 * rate * size / speed for rate in rates]
                what = f"greedy, {name}: {size / 1e6:.0f} MB a token, of what memory delivers"
                facts.append(Fact(what, share, "%"))

    for work, ours, theirs, ids, rows in (
        ("top-p sampling, 1 text", sample, peer.sample, one, 1),
        ("top-p sampling, 8 texts", sample, peer.sample, many, len(many)),
        (f"beam search, width {WIDTH}", search, peer.search, one, WIDTH),
    ):
        calls = {"transformers": lambda theirs=theirs, ids=ids: theirs(ids)}
        for weights in ("float32", "int4"):
            m = fast[weights]
            calls[weights] = lambda ours=ours, m=m, ids=ids: ours(m, ids)
        peers = dict.fromkeys(("float32", "int4"), "transformers")
        compare(f"{work}, {NEW} tokens", calls, ["float32"], OTHER_GOAL, peers, rows)
    (start,) = one.tolist()
    clear = beam_search(log_probs_of(model), start, WIDTH, PROMPT + NEW, -1, 1.0)
    assert clear[0][PROMPT:] == search(fast["float32"], one)[0], "beam_search finds another text"

    texts = torch.cat([many, torch.tensor(write(model, many))], dim=1)
    for weights, decoder in fast.items():
        difference, same = quality(model, decoder, texts)
        facts.append(Fact(f"{weights}: largest difference of a logit", [difference], "nats"))
        facts.append(Fact(f"{weights}: likeliest next token is the same", [same], "%"))

    growths = []
    for weights in ("float32", "int4"):
        for size, points in {
            "tokens written": {n: (one, n) for n in (8, 16, 32, 64)},
            "texts at a time": {n: (many.repeat(2, 1)[:n], 8) for n in (1, 2, 4, 8, 16)},
        }.items():
            m = fast[weights]
            calls = {
                str(n): lambda m=m, point=point: write(m, *point) for n, point in points.items()
            }
            times = in_turn(calls, rounds=3)
            costs = [statistics.median(seconds) for seconds in times.values()]
            growths.append(Growth(f"greedy, {weights}", size, list(points), costs))
    note = (
        f"SmolLM2-135M-Instruct, prompts of {PROMPT} tokens, {THREADS} threads, no compilation; "
        "transformers has our weights. In float32 all write the same ids, sampled (with the same "
        "seed) and searched ones too: asserted before timing. Seconds hold the reading of the "
        "prompt. Clear: `generate` with a `DecoderLM`; the others: with a `FastDecoder`. The "
        "differences of logits are over the eight texts, read token by token."
    )
    save("generation", "Writing with SmolLM2", comparisons, growths, facts, [note])


if __name__ == "__main__":
    main()
