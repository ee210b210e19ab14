from __future__ import annotations

import threading

import torch

from course_lib.memory import PeakMemory


def test_counts_what_is_alive_at_one_moment() -> None:
    with PeakMemory() as memory:
        one = torch.ones(10)  # 40 bytes
        two = one.exp()  # and 40 more
        del one
        three = two.double()  # 40 + 80
    assert (memory.live, memory.peak) == (120, 120)
    del two, three
    assert (memory.live, memory.peak) == (0, 120)


def test_temporaries_are_seen_though_nobody_names_them() -> None:
    x = torch.ones(100)
    with PeakMemory() as memory:
        ((x + 1) * 2).sum()
    assert memory.peak == 800  # x + 1 and twice that


def test_views_and_what_was_there_before_cost_nothing() -> None:
    x = torch.ones(6, 4)
    with PeakMemory() as memory:
        y = x[2:].T.unsqueeze(0)
        x += 1
        torch.exp(x, out=x)
    assert memory.peak == 0
    with PeakMemory() as memory:
        z = y.contiguous()
    assert memory.peak == z.nbytes == 64


def test_a_graph_keeps_what_backward_needs() -> None:
    x = torch.ones(100, requires_grad=True)
    with PeakMemory() as memory:
        y = x.exp().exp().sum()
    kept = memory.live
    y.backward()
    del y
    assert kept == 804 and memory.live == 0


def test_sees_its_own_thread_alone() -> None:
    with PeakMemory() as memory:
        thread = threading.Thread(target=torch.ones, args=(1000,))
        thread.start()
        thread.join()
    assert memory.peak == 0
