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
    torch.testing.assert_close(sinusoidal_positions(100, 6)[:10], sinusoidal_positions(10, 6))
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
        ((4, 4.0), TypeError, "width"),
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
    yield (ids, torch.zeros(4, 7), table), ValueError, "position_table must"
    yield (ids, table, table, ids), ValueError, "segment_ids and segment_table"
    yield (ids, table, table, None, two), ValueError, "segment_ids and segment_table"
    yield (ids, table, table, ids[:1], two), ValueError, "segment_ids must"
    yield (ids, table, table, ids + 2, two), ValueError, "segment_ids must"
    yield (ids, table, table, ids.bool(), two), TypeError, "segment_ids must"
    yield (ids, table, table, ids, two[:, :7]), ValueError, "segment_table must"


@pytest.mark.parametrize(("arguments", "error", "message"), list(bad_input_embeddings()))
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
    same = torch.tensor([0.0, 1.0, 0.0])  # length 1: no processor rounds
    assert nearest_neighbours(same, same.expand(40, 3), 40).tolist() == list(range(40))


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
        (torch.zeros(3), torch.zeros(3, 2), 1, ValueError, "table"),
        (torch.zeros(1, 2), torch.zeros(3, 2), 1, ValueError, "query"),
        (torch.zeros(2), torch.zeros(2), 1, ValueError, "table"),
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
    table = torch.tensor([[1.0, 0], [1, 8], [-1, 0], [-1, 8], [-1, 1], [0, -1]])
    assert analogy(0, 1, 2, table) == 3
    a, b, c = F.normalize(table)[:3]
    assert int(F.cosine_similarity(table, b - a + c, dim=-1).argmax()) == 4


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
    true_score = torch.einsum("bw,bw->b", center, context)[:, None]
    false_scores = torch.einsum("bw,bnw->bn", center, negatives)
    logits = torch.cat([true_score, false_scores], dim=1)
    labels = torch.zeros_like(logits)
    labels[:, 0] = 1
    expected = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / 5
    torch.testing.assert_close(skipgram_loss(center, context, negatives), expected)


def test_skipgram_gradients() -> None:
    shapes = [(3, 4), (3, 4), (3, 2, 4)]
    vectors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert gradcheck(skipgram_loss, vectors)


@pytest.mark.parametrize("size", [1.0, 1e3, 1e15])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_skipgram_is_finite_for_scores_of_any_size(size, sign) -> None:
    center = torch.full((2, 4), size, requires_grad=True)
    context = torch.full((2, 4), sign * size, requires_grad=True)
    negatives = torch.full((2, 3, 4), sign * size, requires_grad=True)
    loss = skipgram_loss(center, context, negatives)
    loss.backward()
    assert torch.isfinite(loss) and loss > 0
    assert all(torch.isfinite(v.grad).all() for v in (center, context, negatives))


def test_skipgram_edges() -> None:
    empty = torch.zeros(0, 4, requires_grad=True)
    loss = skipgram_loss(empty, empty, torch.zeros(0, 2, 4))
    loss.backward()
    assert loss.item() == 0
    center, context = torch.randn(3, 4), torch.randn(3, 4)
    without = skipgram_loss(center, context, torch.zeros(3, 0, 4))
    torch.testing.assert_close(without, -F.logsigmoid((center * context).sum(-1)).mean())
    for dtype in FLOATS:
        half = center.to(dtype)
        assert skipgram_loss(half, half, half[:, None]).dtype == dtype


@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        ([(3, 4), (2, 4), (3, 2, 4)], "context"),
        ([(4,), (4,), (3, 2, 4)], "center"),
        ([(3, 4), (3, 4), (3, 4)], "negatives"),
        ([(3, 4), (3, 4), (2, 2, 4)], "negatives"),
        ([(3, 4), (3, 4), (3, 2, 5)], "negatives"),
    ],
)
def test_skipgram_door(shapes, name) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        skipgram_loss(*map(torch.zeros, shapes))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_skipgram_door_for_types(position) -> None:
    arguments = [torch.zeros(3, 4), torch.zeros(3, 4), torch.zeros(3, 2, 4)]
    name = ["center", "context", "negatives"][position]
    for wrong in ([1.0], arguments[position].long()):
        with pytest.raises(TypeError, match=f"^{name} "):
            skipgram_loss(*arguments[:position], wrong, *arguments[position + 1 :])


# rotary positions


def llama_rope(x, positions, base):
    """The same rotation by transformers' own code."""
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    config = LlamaConfig(
        hidden_size=x.shape[1] * x.shape[3],
        num_attention_heads=x.shape[1],
        rope_parameters={"rope_type": "default", "rope_theta": base},
    )
    cos, sin = LlamaRotaryEmbedding(config)(x, positions)
    return apply_rotary_pos_emb(x, x, cos, sin)[0]


@pytest.mark.parametrize("base", [10_000.0, 500.0])
def test_rope_equals_llamas(base) -> None:
    x = torch.randn(2, 3, 6, 8)  # [batch, heads, time, d_k]
    positions = torch.tensor([7, 0, 3, 3, 199, 12])
    ours = apply_rope(x, positions, base)
    # transformers counts its angles in float32, where 199 is exact to about 1e-5
    near = {"atol": 1e-4, "rtol": 1e-4}
    torch.testing.assert_close(ours, llama_rope(x, positions.expand(2, 6), base), **near)
    rows = torch.stack([positions, positions + 5])  # each row of the batch its own positions
    ours = apply_rope(x, rows[:, None], base)
    torch.testing.assert_close(ours, llama_rope(x, rows, base), **near)


def test_rope_turns_the_pair_of_halves() -> None:
    x = torch.tensor([[1.0, 0.0, 0.0, 0.0]])  # one vector on the first axis of the first pair
    angle = torch.tensor(5.0)
    expected = torch.stack([angle.cos(), angle * 0, angle.sin(), angle * 0])[None]
    torch.testing.assert_close(apply_rope(x, torch.tensor([5])), expected)


@settings(max_examples=50)
@given(st.integers(0, 500), st.integers(0, 500), st.integers(-200, 200))
def test_rope_scores_depend_on_the_distance_alone(here, there, shift) -> None:
    generator = torch.Generator().manual_seed(here)
    q, k = torch.randn(2, 1, 16, generator=generator, dtype=torch.float64)

    def score(query_position, key_position):
        turned = apply_rope(q, torch.tensor([query_position]))
        return turned @ apply_rope(k, torch.tensor([key_position])).T

    torch.testing.assert_close(score(here, there), score(here + shift, there + shift))


@settings(max_examples=30)
@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=6))
def test_rope_keeps_lengths_and_undoes_itself(positions) -> None:
    positions = torch.tensor(positions)
    x = torch.randn(2, 3, len(positions), 10, dtype=torch.float64)
    turned = apply_rope(x, positions)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(apply_rope(turned, -positions), x)
    assert torch.equal(apply_rope(x, torch.zeros_like(positions)), x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_rope_keeps_dtype_and_argument(dtype) -> None:
    x = torch.randn(2, 4, 6).to(dtype)
    before = x.clone()
    turned = apply_rope(x, torch.arange(1000, 1004))
    assert turned.dtype == dtype and torch.equal(x, before)
    # the angles are not rounded to half precision, where 1001 and 1002 would meet
    exact = apply_rope(x.double(), torch.arange(1000, 1004))
    tolerance = max(8 * torch.finfo(dtype).eps, 1e-3)
    torch.testing.assert_close(turned.double(), exact, atol=tolerance, rtol=tolerance)


def test_rope_gradients() -> None:
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: apply_rope(x, torch.tensor([4, 1, 9])), [x])


@pytest.mark.parametrize(
    ("x", "positions", "base", "error", "name"),
    [
        (torch.zeros(3, 5), torch.arange(3), 1e4, ValueError, "x"),
        (torch.zeros(4), torch.arange(4), 1e4, ValueError, "x"),
        (torch.zeros(3, 4), torch.arange(4), 1e4, ValueError, "positions"),
        (torch.zeros(3, 4), torch.tensor(1), 1e4, ValueError, "positions"),
        (torch.zeros(3, 4), torch.arange(3), -1.0, ValueError, "base"),
        (torch.zeros(3, 4, dtype=torch.int64), torch.arange(3), 1e4, TypeError, "x"),
        ([[1.0, 2.0]], torch.arange(1), 1e4, TypeError, "x"),
        (torch.zeros(3, 4), [0, 1, 2], 1e4, TypeError, "positions"),
    ],
)
def test_rope_door(x, positions, base, error, name) -> None:
    with pytest.raises(error, match=f"^{name} "):
        apply_rope(x, positions, base)
