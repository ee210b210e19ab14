"""Attention, forward and backward: ours beside the same in torch, over lengths; and its memory.

    python benchmarks/attention.py

One text, two heads of 64 channels, causal, float32, two threads. Four ways of the same thing:

- reference: `scaled_dot_product_attention`, as notebook 03 writes it;
- plain torch: the same formula with torch's own softmax;
- streaming: `streaming_attention`, blocks of 128 keys;
- fused: torch's kernel, called as `DecoderAttention` calls it.
"""

from __future__ import annotations

import math
import multiprocessing
import resource
import statistics
import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from side_by_side import Comparison, Fact, Growth, in_turn, save
from torch import Tensor
from tqdm import tqdm

from course_lib.attention import causal_mask, scaled_dot_product_attention, streaming_attention
from course_lib.decoder import DecoderConfig, DecoderLM

THREADS = 2
HEADS, D_K, BLOCK = 2, 64, 128
LENGTHS = [128, 256, 512, 1024, 2048, 4096, 8192]
PAIRED = [512, 2048]  # lengths of the comparisons


def reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return scaled_dot_product_attention(q, k, v, causal_mask(q.shape[-2]))[0]


def plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    hidden = ~torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return scores.masked_fill(hidden, -math.inf).softmax(-1) @ v


def streaming(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return streaming_attention(q, k, v, BLOCK, causal=True)


def fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


WAYS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "reference": reference,
    "plain torch": plain,
    "streaming": streaming,
    "fused": fused,
}


def inputs(length: int, gradients: bool) -> list[Tensor]:
    generator = torch.Generator().manual_seed(length)
    tensors = [torch.randn(1, HEADS, length, D_K, generator=generator) for _ in range(3)]
    return [tensor.requires_grad_(gradients) for tensor in tensors]


def work(way: str, length: int, backward: bool) -> Callable[[], list[Tensor]]:
    """A call that computes the output and, if asked, the gradients of q, k and v."""
    tensors = inputs(length, backward)

    def forward() -> list[Tensor]:
        with torch.no_grad():
            return [WAYS[way](*tensors)]

    def both() -> list[Tensor]:
        output = WAYS[way](*tensors)
        return [output.detach(), *torch.autograd.grad(output.square().mean(), tensors)]

    return both if backward else forward


def assert_equal_results(lengths: list[int]) -> None:
    for length in lengths:
        expected = work("plain torch", length, backward=True)()
        for way in WAYS:
            for got, wanted in zip(work(way, length, backward=True)(), expected, strict=True):
                scale = wanted.abs().max()
                torch.testing.assert_close(got / scale, wanted / scale, rtol=0, atol=1e-4)


# --- memory: a process of its own for each measurement, and what the system says it held at most


def peak_bytes(way: str, length: int, backward: bool) -> int:
    """How far the resident memory of a fresh process rises above what it was with the inputs."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "course_lib.decoder", "__main__"])
    with context.Pool(1) as pool:
        return pool.apply(_rise, (way, length, backward))


def _rise(way: str, length: int, backward: bool) -> int:
    torch.set_num_threads(THREADS)
    work(way, 128, backward)()  # code and threads are loaded at the first call
    call = work(way, length, backward)
    before = _most_held()
    call()
    return max(_most_held() - before, 1)


def _most_held() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def kernels_of_our_models() -> set[str]:
    """The attention kernels that a `DecoderLM` calls, in training and in reading."""
    config = DecoderConfig(64, 32, width=32, n_layers=1, n_heads=2, ffn_width=64)
    ids = torch.zeros(2, 32, dtype=torch.int64)
    with torch.profiler.profile() as profile:
        DecoderLM(config)(ids).sum().backward()
    return {event.key for event in profile.key_averages() if "attention" in event.key}


def main() -> None:
    torch.set_num_threads(THREADS)
    assert_equal_results([128, 1000, 2048])
    kernel = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert kernel in kernels_of_our_models(), "our models do not use the fused kernel"

    seconds: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    comparisons = []
    for length in tqdm(LENGTHS, "time"):
        calls = {way: work(way, length, backward=True) for way in WAYS}
        times = in_turn(calls, rounds=5 if length < 4096 else 3)
        for way in WAYS:
            seconds[way].append(times[way])
        if length in PAIRED:
            what = f"{length:,} tokens, forward and backward"
            names = {
                "fused": "attention of our models",
                "reference": "`scaled_dot_product_attention`",
                "streaming": "`streaming_attention`",
            }
            comparisons += [
                Comparison(f"{name}, {what}", "plain torch", times[way], times["plain torch"])
                for way, name in names.items()
            ]

    long = [length for length in LENGTHS if length >= 1024]
    growths = [
        Growth(
            f"attention, forward and backward, {way}",
            "length",
            long,
            [statistics.median(times) for times in seconds[way][-len(long) :]],
        )
        for way in WAYS
    ]
    facts = []
    for backward, what in ((False, "forward"), (True, "forward and backward")):
        for way in tqdm(WAYS, f"memory, {what}"):
            peaks = [peak_bytes(way, length, backward) / 2**20 for length in long]
            growths.append(Growth(f"memory of {what}, {way}", "length", long, peaks, unit="MiB"))
            facts.append(Fact(f"memory of {what}, {way}, {long[-1]:,} tokens", [peaks[-1]], "MiB"))
    notes = [
        f"One text, {HEADS} heads of {D_K} channels, causal, float32, {THREADS} threads; blocks of "
        f"{BLOCK} keys. Outputs and gradients of all ways agree within 1e-4 of the largest. Memory "
        "is the rise of the resident memory of a fresh process, kernels' own scratch included. "
        "`streaming_attention` saves memory in the forward pass alone: autograd keeps its blocks. "
        f"`DecoderLM` calls `{kernel}`, in training too."
    ]
    save("attention", "Attention", comparisons, growths, facts, notes)


if __name__ == "__main__":
    main()
