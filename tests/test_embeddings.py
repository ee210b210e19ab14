from __future__ import annotations

import inspect

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from course_lib.embeddings import (
    analogy,
    apply_rope,
    embed_one_hot,
    input_embeddings,
    nearest_neighbours,
    sinusoidal_positions,
    skipgram_loss,
)

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


# one-hot lookup


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 0), (2, 3, 4)])
def test_one_hot_lookup_equals_embedding(dtype, shape) -> None:
    table = torch.randn(9, 6).to(dtype)
    ids = torch.randint(9, shape)
    result = embed_one_hot(ids, table)
    assert result.dtype == dtype
    assert torch.equal(result, F.embedding(ids, table))


def test_one_hot_lookup_has_the_gradients_of_embedding() -> None:
    ids = torch.tensor([[1, 4, 1], [0, 0, 2]])
    upstream = torch.randn(2, 3, 6)
    gradients = []
    for lookup in (embed_one_hot, F.embedding):
        table = torch.arange(30.0).reshape(5, 6).requires_grad_()
        lookup(ids, table).backward(upstream)
        gradients.append(table.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("ids", "table", "error", "name"),
    [
        ([1], torch.zeros(3, 2), TypeError, "ids"),
        (torch.tensor([1.0]), torch.zeros(3, 2), TypeError, "ids"),
        (torch.tensor([1]), [[1.0]], TypeError, "table"),
        (torch.tensor([1]), torch.zeros(3, 2, dtype=torch.int64), TypeError, "table"),
        (torch.tensor([1]), torch.zeros(3), ValueError, "table"),
        (torch.tensor([3]), torch.zeros(3, 2), ValueError, "ids"),
        (torch.tensor([-1]), torch.zeros(3, 2), ValueError, "ids"),
    ],
)
def test_one_hot_lookup_door(ids, table, error, name) -> None:
    with pytest.raises(error, match=f"^{name} "):
        embed_one_hot(ids, table)


# sinusoidal positions


def test_sinusoids_follow_the_formula() -> None:
    table = sinusoidal_positions(50, 8, base=100.0)
    assert table.shape == (50, 8) and table.dtype == torch.float32
    p, i = torch.tensor(37.0), torch.arange(4)
    angles = p / 100.0 ** (2 * i / 8)
    torch.testing.assert_close(table[37, 0::2], angles.sin())
    torch.testing.assert_close(table[37, 1::2], angles.cos())
    assert inspect.signature(sinusoidal_positions).parameters["base"].default == 10_000.0


@given(st.integers(0, 40), st.integers(1, 20).map(lambda half: 2 * half))
def test_a_shift_is_one_rotation_for_all_positions(shift, width) -> None:
    """PE[p + shift] is a linear function of PE[p], the same for every p (Vaswani 2017, 3.5)."""
    table = sinusoidal_positions(30 + shift, width).double()
    waves = torch.view_as_complex(table.reshape(-1, width // 2, 2))  # sin + i cos
    turn = waves[shift] / 1j  # at position 0 every wave is i
    torch.testing.assert_close(waves[shift:], waves[:30] * turn, atol=1e-5, rtol=0)


def test_a_longer_table_only_goes_on() -> None:
    assert torch.equal(sinusoidal_positions(100, 6)[:10], sinusoidal_positions(10, 6))
    assert sinusoidal_positions(0, 6).shape == (0, 6)


def test_sinusoids_stay_exact_far_out() -> None:
    far = 1_000_000
    expected = torch.tensor(float(far), dtype=torch.float64).sin().float()
    torch.testing.assert_close(sinusoidal_positions(far + 1, 2)[far, 0], expected)


@pytest.mark.parametrize(
    ("arguments", "error", "name"),
    [
        ((4, 5), ValueError, "width"),
        ((4, 0), ValueError, "width"),
        ((4, -2), ValueError, "width"),
        ((-1, 4), ValueError, "length"),
        ((4, 4, 0.0), ValueError, "base"),
        ((4.0, 4), TypeError, "length"),
        ((4, 4.0), TypeError, "length and width"),
    ],
)
def test_sinusoids_door(arguments, error, name) -> None:
    with pytest.raises(error, match=f"^{name} "):
        sinusoidal_positions(*arguments)


# the sum


def test_input_embeddings_equal_berts() -> None:
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertEmbeddings

    config = BertConfig(vocab_size=20, hidden_size=8, max_position_embeddings=7, type_vocab_size=2)
    bert = BertEmbeddings(config).eval()
    bert.LayerNorm = torch.nn.Identity()  # the sum alone
    ids, segments = torch.randint(20, (3, 5)), torch.randint(2, (3, 5))
    tables = (bert.word_embeddings.weight, bert.position_embeddings.weight)
    ours = input_embeddings(ids, *tables, segments, bert.token_type_embeddings.weight)
    torch.testing.assert_close(ours, bert(input_ids=ids, token_type_ids=segments))


def test_input_embeddings_without_segments_and_at_full_length() -> None:
    token_table, position_table = torch.randn(20, 8), torch.randn(5, 8)
    ids = torch.randint(20, (2, 5))
    expected = token_table[ids] + position_table
    assert torch.equal(input_embeddings(ids, token_table, position_table), expected)
    assert input_embeddings(ids[:, :0], token_table, position_table).shape == (2, 0, 8)


@pytest.mark.parametrize("dtype", FLOATS)
def test_input_embeddings_keep_the_dtype_and_the_tables(dtype) -> None:
    tables = [torch.randn(6, 4).to(dtype) for _ in range(3)]
    before = [table.clone() for table in tables]
    ids = torch.randint(6, (2, 3))
    assert input_embeddings(ids, tables[0], tables[1], ids, tables[2]).dtype == dtype
    assert all(map(torch.equal, tables, before))


def bad_input_embeddings():
    ids, table, two = torch.zeros(2, 3, dtype=torch.int64), torch.zeros(4, 8), torch.zeros(2, 8)
    yield (ids, table, two), ValueError, "position_table has 2 rows"
    yield (ids.float(), table, table), TypeError, "ids must"
    yield ([[1]], table, table), TypeError, "ids must"
    yield (ids[0], table, table), ValueError, "ids must"
    yield (ids + 4, table, table), ValueError, "ids must"
    yield (ids - 1, table, table), ValueError, "ids must"
    yield (ids, torch.zeros(4, 7), table), ValueError, "the table of ids"
    yield (ids, table, table, ids), ValueError, "segment_ids and segment_table"
    yield (ids, table, table, None, two), ValueError, "segment_ids and segment_table"
    yield (ids, table, table, ids[:1], two), ValueError, "segment_ids must"
    yield (ids, table, table, ids + 2, two), ValueError, "segment_ids must"
    yield (ids, table, table, ids.bool(), two), TypeError, "segment_ids must"
    yield (ids, table, table, ids, two[:, :7]), ValueError, "the table of segment_ids"


@pytest.mark.parametrize(("arguments", "error", "message"), bad_input_embeddings())
def test_input_embeddings_door(arguments, error, message) -> None:
    with pytest.raises(error, match=f"^{message}"):
        input_embeddings(*arguments)


# neighbours and analogies


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_neighbours_are_the_highest_cosines(seed, k) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(12, 5, generator=generator) * torch.rand(12, 1, generator=generator) * 9
    query = torch.randn(5, generator=generator)
    found = nearest_neighbours(query, table, k)
    cosine = F.cosine_similarity(table, query, dim=-1)
    assert found.shape == (k,) and found.dtype == torch.int64
    torch.testing.assert_close(cosine[found], cosine.topk(k).values)
    assert len(set(found.tolist())) == k
    # lengths do not matter
    assert torch.equal(nearest_neighbours(query * 7, table * torch.rand(12, 1).add(0.1), k), found)


def test_neighbours_find_themselves_and_break_ties_by_row() -> None:
    table = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    assert nearest_neighbours(table[2], table, 5).tolist() == [1, 2, 0, 3, 4]


@pytest.mark.parametrize("dtype", FLOATS)
def test_neighbours_of_a_zero_query_are_not_nan_sorted(dtype) -> None:
    table = torch.tensor([[0.0, 0.0], [1.0, 2.0], [-3.0, 0.5]], dtype=dtype)
    assert nearest_neighbours(torch.zeros(2, dtype=dtype), table, 3).tolist() == [0, 1, 2]
    assert nearest_neighbours(table[1], table, 3).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("query", "table", "k", "error", "name"),
    [
        (torch.zeros(2), torch.zeros(3, 2), 0, ValueError, "k"),
        (torch.zeros(2), torch.zeros(3, 2), 4, ValueError, "k"),
        (torch.zeros(3), torch.zeros(3, 2), 1, ValueError, "query and table"),
        (torch.zeros(1, 2), torch.zeros(3, 2), 1, ValueError, "query and table"),
        (torch.zeros(2), torch.zeros(2), 1, ValueError, "query and table"),
        ([0.0], torch.zeros(3, 2), 1, TypeError, "query"),
        (torch.zeros(2), torch.zeros(3, 2, dtype=torch.int64), 1, TypeError, "table"),
    ],
)
def test_neighbours_door(query, table, k, error, name) -> None:
    with pytest.raises(error, match=f"^{name} "):
        nearest_neighbours(query, table, k)


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(4, 8))
def test_analogy_is_the_best_row_outside_the_three(seed, vocab) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(vocab, 6, generator=generator)
    a, b, c = torch.randint(vocab, (3,), generator=generator).tolist()
    cosine = F.cosine_similarity(table, table[b] - table[a] + table[c], dim=-1)
    cosine[[a, b, c]] = -2
    result = analogy(a, b, c, table)
    assert type(result) is int and result == int(cosine.argmax())


def test_analogy_uses_raw_rows() -> None:
    # man, king, woman, queen; normalising the rows first would point elsewhere
    table = torch.tensor([[1.0, 0.0], [1.0, 8.0], [-1.0, 0.0], [-1.0, 8.0], [-1.0, 1.0], [0.0, -1.0]])
    assert analogy(0, 1, 2, table) == 3


def test_analogy_door() -> None:
    table = torch.randn(3, 2)
    with pytest.raises(ValueError, match="^table must have a row besides"):
        analogy(0, 1, 2, table)
    assert analogy(0, 1, 1, table) == 2
    with pytest.raises(ValueError, match="^b must"):
        analogy(0, -1, 2, table)
    with pytest.raises(ValueError, match="^c must"):
        analogy(0, 1, 3, table)
    with pytest.raises(TypeError, match="^table must"):
        analogy(0, 1, 2, [[1.0]])


# skip-gram


def test_skipgram_is_binary_cross_entropy() -> None:
    center, context, negatives = torch.randn(5, 8), torch.randn(5, 8), torch.randn(5, 3, 8)
    scores = torch.cat([(center * context).sum(-1, keepdim=True), negatives @ center[..., None]
                        .squeeze(-1)[..., None]], dim=1) if False else None  # fmt: skip
    del scores
    true_score = torch.einsum("bw,bw->b", center, context)[:, None]
    false_scores = torch.einsum("bw,bnw->bn", center, negatives)
    logits = torch.cat([true_score, false_scores], dim=1)
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1
    expected = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / 5
    torch.testing.assert_close(skipgram_loss(center, context, negatives), expected)
