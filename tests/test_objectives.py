import math
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given
from hypothesis import strategies as st

from course_lib.objectives import (
    align_labels,
    causal_lm_loss,
    classification_loss,
    corrupt_spans,
    draw_spans,
    fill_spans,
    label_smoothing_loss,
    mask_tokens,
    masked_lm_loss,
    perplexity,
    seq2seq_loss,
    shift_right,
)

# ------------------------------------------------------------------ causal_lm_loss (notebook 06)


def random_logits(*shape, seed=0, scale=3.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def random_ids(vocab, *shape, seed=1):
    return torch.randint(vocab, shape, generator=torch.Generator().manual_seed(seed))


def test_causal_loss_by_hand():
    shares = torch.tensor([[[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [1.0, 0.0, 0.0]]])
    loss = causal_lm_loss(shares.log(), torch.tensor([[0, 1, 2]]))
    assert loss.item() == pytest.approx(-(math.log(0.25) + math.log(0.8)) / 2)


@given(st.integers(1, 4), st.integers(2, 6), st.integers(1, 7), st.integers(0, 999))
def test_causal_loss_equals_torch(batch, time, vocab, seed):
    logits, ids = random_logits(batch, time, vocab, seed=seed), random_ids(vocab, batch, time)
    expected = F.cross_entropy(logits[:, :-1].reshape(-1, vocab), ids[:, 1:].reshape(-1))
    torch.testing.assert_close(causal_lm_loss(logits, ids), expected)


def test_causal_loss_is_the_mean_over_tokens_not_over_rows():
    logits, ids = random_logits(2, 5, 4), random_ids(4, 2, 5)
    ids[1, 2:] = -100
    rows = [(logits[0], ids[0], 4), (logits[1, :2], ids[1, :2], 1)]
    total = sum(n * causal_lm_loss(row[None], some[None]) for row, some, n in rows)
    torch.testing.assert_close(causal_lm_loss(logits, ids), total / 5)


def test_ignored_ids_do_not_count():
    logits, ids = random_logits(2, 5, 4), random_ids(4, 2, 5)
    ids[:, 0] = -100  # never a label
    before = causal_lm_loss(logits, ids)
    ids[1, 3:] = -100
    changed = logits.clone()
    changed[1, 2:] = 1e6
    torch.testing.assert_close(causal_lm_loss(logits, ids), causal_lm_loss(changed, ids))
    assert causal_lm_loss(logits, ids) != before
    ids[ids == -100] = 0
    assert torch.equal(
        causal_lm_loss(logits, ids, ignore_index=0),
        causal_lm_loss(logits, ids.masked_fill(ids == 0, -100)),
    )


@pytest.mark.parametrize("ids", [torch.full((2, 3), -100), torch.zeros(2, 1, dtype=torch.int64)])
def test_nothing_to_predict_is_zero_with_zero_gradients(ids):
    logits = random_logits(*ids.shape, 4).requires_grad_()
    loss = causal_lm_loss(logits, ids)
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_causal_loss_keeps_the_dtype_and_carries_gradients():
    logits = random_logits(2, 4, 3).double().requires_grad_()
    loss = causal_lm_loss(logits, random_ids(3, 2, 4))
    loss.backward()
    assert loss.dtype == torch.float64 and loss.shape == ()
    assert logits.grad[:, :-1].abs().min() > 0 and not logits.grad[:, -1].any()


@pytest.mark.parametrize(
    ("logits", "ids", "error", "says"),
    [
        (torch.zeros(1, 2, 3), torch.tensor([[0, 3]]), ValueError, "ids must lie in 0 ... 2"),
        (torch.zeros(1, 2, 3), torch.tensor([[-1, 0]]), ValueError, "ids must lie in 0 ... 2"),
        (torch.zeros(1, 2, 3), torch.tensor([[0, 1, 2]]), ValueError, "ids must have the shape"),
        (torch.zeros(2, 3), torch.tensor([[0, 1]]), ValueError, "logits must have the shape"),
        (torch.zeros(1, 2, 3), torch.zeros(1, 2), TypeError, "ids must be a tensor of dtype int64"),
        ([[[0.0]]], torch.tensor([[0]]), TypeError, "logits must be a tensor, got list"),
    ],
)
def test_bad_causal_loss(logits, ids, error, says):
    with pytest.raises(error, match=says):
        causal_lm_loss(logits, ids)


# ------------------------------------------------------------------ perplexity (notebook 06)


def test_perplexity_of_equal_shares_is_their_number():
    logits, ids = torch.zeros(2, 6, 7), random_ids(7, 2, 6)
    assert perplexity(causal_lm_loss(logits, ids)).item() == pytest.approx(7)
    assert perplexity(math.log(7)) == pytest.approx(7)


def test_perplexity_returns_the_kind_it_was_given():
    assert isinstance(perplexity(0.0), float) and perplexity(0.0) == 1.0
    losses = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    result = perplexity(losses)
    torch.testing.assert_close(result, torch.tensor([1.0, math.e, math.e**2], dtype=torch.float64))
    assert result.requires_grad


@pytest.mark.parametrize("loss", ["1.0", None, [1.0]])
def test_bad_perplexity(loss):
    with pytest.raises(TypeError, match="^loss must be a number"):
        perplexity(loss)


# ------------------------------------------------------------------ shift_right (notebook 07)


def test_shift_right_by_hand():
    labels = torch.tensor([[7, 8, 2], [9, 2, -100]])
    assert shift_right(labels, start_id=1).tolist() == [[1, 7, 8], [1, 9, 2]]
    assert shift_right(labels, 1, pad_id=5).tolist() == [[1, 7, 8], [1, 9, 2]]
    longer = torch.tensor([[7, 2, -100, -100]])
    assert shift_right(longer, 1, pad_id=5).tolist() == [[1, 7, 2, 5]]
    assert longer.tolist() == [[7, 2, -100, -100]]


def test_shift_right_equals_t5():
    model = transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            d_model=8, d_ff=8, num_layers=1, num_heads=2, d_kv=4, decoder_start_token_id=0
        )
    )
    labels = random_ids(30, 4, 6).masked_fill(torch.rand(4, 6) > 0.7, -100)
    assert torch.equal(shift_right(labels, 0, 0), model._shift_right(labels))


def test_shift_right_keeps_the_shape_of_empty_labels():
    assert shift_right(torch.zeros(2, 0, dtype=torch.long), 1).shape == (2, 0)


# ------------------------------------------------------------------ seq2seq_loss (notebook 07)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 7), st.integers(0, 999))
def test_seq2seq_loss_equals_torch(batch, time, vocab, seed):
    logits, labels = random_logits(batch, time, vocab, seed=seed), random_ids(vocab, batch, time)
    expected = F.cross_entropy(logits.transpose(1, 2), labels)
    torch.testing.assert_close(seq2seq_loss(logits, labels), expected)


def test_seq2seq_loss_is_the_causal_loss_of_shifted_ids():
    """Two ways to say the same: shift in the loss, or shift what is read."""
    logits, ids = random_logits(3, 6, 9), random_ids(9, 3, 6)
    torch.testing.assert_close(
        seq2seq_loss(logits[:, :-1], ids[:, 1:]), causal_lm_loss(logits, ids)
    )


def test_seq2seq_loss_ignores_and_averages_over_the_batch():
    logits, labels = random_logits(2, 5, 4), random_ids(4, 2, 5)
    labels[1, 2:] = -100
    rows = [(logits[:1], labels[:1], 5), (logits[1:, :2], labels[1:, :2], 2)]
    total = sum(n * seq2seq_loss(row, some) for row, some, n in rows)
    torch.testing.assert_close(seq2seq_loss(logits, labels), total / 7)


def test_seq2seq_loss_without_labels_is_zero():
    logits = random_logits(2, 3, 4).requires_grad_()
    loss = seq2seq_loss(logits, torch.full((2, 3), -100))
    loss.backward()
    assert loss.item() == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("wrong", [4, -1])
def test_seq2seq_loss_complains(wrong):
    with pytest.raises(ValueError, match="labels"):
        seq2seq_loss(random_logits(1, 2, 4), torch.tensor([[1, wrong]]))
    with pytest.raises(ValueError, match="labels"):
        seq2seq_loss(random_logits(1, 2, 4), torch.tensor([[1, 2, 3]]))


# ------------------------------------------------------------------ span corruption (notebook 07)

SENTINELS = [90, 91, 92, 93, 94, 95]


def test_corrupt_spans_by_hand():
    """The example of Raffel et al. 2020, figure 2."""
    words = "Thank you for inviting me to your party last week".split()
    ids = list(range(len(words)))
    corrupted, target = corrupt_spans(ids, [(2, 4), (8, 9)], SENTINELS)
    assert corrupted == [0, 1, 90, 4, 5, 6, 7, 91, 9]
    assert target == [90, 2, 3, 91, 8, 92]


@st.composite
def texts_with_spans(draw):
    """A text, and spans of it that are apart."""
    ids = draw(st.lists(st.integers(0, 89), max_size=30))
    spans, position = [], draw(st.integers(0, 3))
    while position < len(ids) and len(spans) < 5:
        end = min(len(ids), position + draw(st.integers(1, 5)))
        spans.append((position, end))
        position = end + draw(st.integers(1, 6))
    return ids, spans


@given(texts_with_spans())
def test_filling_undoes_corrupting(text):
    ids, spans = text
    corrupted, target = corrupt_spans(ids, spans, SENTINELS)
    assert fill_spans(corrupted, target, SENTINELS) == ids
    assert fill_spans(corrupted, target[:-1], SENTINELS) == ids
    assert len(corrupted) + len(target) == len(ids) + 2 * len(spans) + 1
    assert [i for i in target if i in SENTINELS] == SENTINELS[: len(spans) + 1]


@pytest.mark.parametrize(
    ("ids", "spans", "sentinels", "name"),
    [
        ([1, 2, 3], [(1, 4)], SENTINELS, "spans"),
        ([1, 2, 3], [(-1, 1)], SENTINELS, "spans"),
        ([1, 2, 3], [(1, 1)], SENTINELS, "spans"),
        ([1, 2, 3, 4], [(2, 3), (0, 1)], SENTINELS, "spans"),
        ([1, 2, 3, 4], [(0, 2), (1, 3)], SENTINELS, "spans"),
        ([1, 2, 3, 4], [(0, 2), (2, 3)], SENTINELS, "spans"),
        ([1, 2, 3], [(0, 1)], [90], "sentinel_ids"),
        ([1, 2, 3], [(0, 1)], [90, 90], "sentinel_ids"),
        ([1, 90, 3], [(0, 1)], SENTINELS, "ids"),
    ],
)
def test_corrupt_spans_complains(ids, spans, sentinels, name):
    with pytest.raises(ValueError, match=name):
        corrupt_spans(ids, spans, sentinels)


@pytest.mark.parametrize(
    ("corrupted", "target"),
    [
        ([1, 90, 2, 91], [90, 5, 92]),  # a hole without an answer
        ([1, 90, 2, 91], [91, 5, 90, 6, 92]),  # another order
        ([1, 90, 2], [5, 90, 6, 91]),  # does not begin with a sentinel
        ([1, 90, 2], []),
        ([1, 90, 2], [90, 5, 91, 6, 92]),  # an answer without a hole
    ],
)
def test_fill_spans_complains(corrupted, target):
    with pytest.raises(ValueError, match="target"):
        fill_spans(corrupted, target, SENTINELS)


@given(st.integers(2, 80), st.floats(0.05, 0.95), st.floats(1, 6), st.integers(0, 2**31))
def test_drawn_spans_are_apart_and_as_many_as_asked(length, share, mean_span, seed):
    spans = draw_spans(length, torch.Generator().manual_seed(seed), share, mean_span)
    corrupt_spans(list(range(length)), spans, range(1000, 1100))  # would complain
    n_cut = sum(end - start for start, end in spans)
    assert n_cut == min(max(round(length * share), 1), length - 1)
    assert len(spans) == min(max(round(n_cut / mean_span), 1), length - n_cut + 1)


def test_drawn_spans_are_uniform():
    """Every way to cut 2 spans of 3 tokens in all out of 6 comes about equally often."""
    generator = torch.Generator().manual_seed(0)
    n = 6000
    counts = Counter(tuple(draw_spans(6, generator, 0.5, 1.5)) for _ in range(n))
    ways = [
        ((a, a + i), (b, b + 3 - i))
        for i in (1, 2)
        for a in range(6)
        for b in range(a + i + 1, 4 + i)
    ]
    assert set(counts) == set(ways)
    for way in ways:
        assert abs(counts[way] - n / len(ways)) < 5 * math.sqrt(n / len(ways))


def test_same_generator_same_spans():
    one, two = (draw_spans(50, torch.Generator().manual_seed(3)) for _ in range(2))
    assert one == two


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((1,), "length"), ((9, 0.0), "share"), ((9, 1.0), "share"), ((9, 0.5, 0.5), "mean_span")],
)
def test_draw_spans_complains(arguments, name):
    length, *rest = arguments
    with pytest.raises(ValueError, match=name):
        draw_spans(length, torch.Generator(), *rest)


# ------------------------------------------------------------------ reading (notebook 05)

MASK, VOCAB = 500, 1000


def hide(ids, special_mask=None, probability=0.15, seed=0):
    if special_mask is None:
        special_mask = torch.zeros_like(ids, dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    return mask_tokens(ids, special_mask, MASK, VOCAB, probability, generator)


def test_chosen_tokens_have_three_fates():
    ids = random_ids(VOCAB, 300, 400)
    read, labels = hide(ids)
    chosen = labels != -100
    assert chosen.double().mean().item() == pytest.approx(0.15, abs=0.005)
    masked, same = read[chosen] == MASK, read[chosen] == ids[chosen]
    assert masked.double().mean().item() == pytest.approx(0.8, abs=0.02)
    assert same.double().mean().item() == pytest.approx(0.1, abs=0.02)
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(read[~chosen], ids[~chosen])
    replaced = read[chosen][~masked & ~same]
    assert replaced.min() < 10 and replaced.max() > VOCAB - 10


def test_tokens_are_chosen_independently():
    """The chosen in a row, and in a pair of neighbours, are as many as of independent coins."""
    _, labels = hide(random_ids(VOCAB, 2000, 100), probability=0.3)
    chosen = (labels != -100).double()
    assert chosen.sum(1).var().item() == pytest.approx(100 * 0.3 * 0.7, rel=0.15)
    assert (chosen[:, 1:] * chosen[:, :-1]).mean().item() == pytest.approx(0.09, abs=0.005)
    assert (chosen[1:] * chosen[:-1]).mean().item() == pytest.approx(0.09, abs=0.005)


@given(st.floats(0, 1), st.integers(0, 999))
def test_special_tokens_are_left_alone(probability, seed):
    ids = random_ids(VOCAB, 3, 7, seed=seed)
    special = torch.rand(3, 7, generator=torch.Generator().manual_seed(seed)) < 0.5
    read, labels = hide(ids, special, probability, seed)
    assert torch.equal(read[special], ids[special]) and (labels[special] == -100).all()
    chosen = labels != -100
    assert torch.equal(labels[chosen], ids[chosen]) and torch.equal(read[~chosen], ids[~chosen])


def test_nothing_and_everything_is_chosen():
    ids = random_ids(VOCAB, 4, 50)
    assert torch.equal(hide(ids, probability=0.0)[0], ids)
    assert (hide(ids, probability=0.0)[1] == -100).all()
    assert torch.equal(hide(ids, probability=1.0)[1], ids)


def test_same_seed_hides_the_same_and_arguments_stay():
    ids = random_ids(VOCAB, 4, 50)
    before = ids.clone()
    torch.manual_seed(1)
    first = hide(ids, seed=3)
    torch.manual_seed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, hide(ids, seed=3)))
    assert not torch.equal(first[1], hide(ids, seed=4)[1])
    assert torch.equal(ids, before)


@pytest.mark.parametrize("probability", [-0.1, 1.1, math.nan])
def test_bad_probability(probability):
    with pytest.raises(ValueError, match="probability"):
        hide(random_ids(VOCAB, 2, 3), probability=probability)


def test_bad_masks():
    ids = random_ids(VOCAB, 2, 3)
    with pytest.raises(TypeError, match="special_mask"):
        hide(ids, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="special_mask"):
        hide(ids, torch.zeros(2, 4, dtype=torch.bool))
    with pytest.raises(TypeError, match="ids"):
        hide(ids.float(), torch.zeros(2, 3, dtype=torch.bool))


LOSSES = pytest.mark.parametrize("loss", [masked_lm_loss, classification_loss])


@LOSSES
@given(seed=st.integers(0, 999))
def test_loss_equals_torch(loss, seed):
    logits, labels = random_logits(3, 4, 5, seed=seed), random_ids(5, 3, 4, seed=seed)
    labels[0, 1:] = labels[2] = -100
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(loss(logits, labels), expected)


@LOSSES
def test_loss_and_gradient_of_nothing_are_zero(loss):
    logits = random_logits(2, 3, 4).requires_grad_()
    value = loss(logits, torch.full((2, 3), -100))
    value.backward()
    assert value == 0 and not logits.grad.any()


@LOSSES
def test_loss_keeps_the_dtype_and_does_not_overflow(loss):
    logits, labels = random_logits(2, 3, 4, scale=1e4).double(), random_ids(4, 2, 3)
    value = loss(logits, labels)
    assert value.dtype == torch.float64 and value.isfinite() and value > 100


@LOSSES
@pytest.mark.parametrize("label", [-1, 4])
def test_labels_outside(loss, label):
    with pytest.raises(ValueError, match="labels must lie in 0 ... 3"):
        loss(random_logits(1, 2, 4), torch.tensor([[0, label]]))


def test_masked_lm_loss_does_not_shift():
    logits = torch.full((1, 3, 3), -20.0)
    logits[0].fill_diagonal_(20.0)  # position t is sure of id t
    assert masked_lm_loss(logits, torch.tensor([[0, 1, 2]])).item() == pytest.approx(0, abs=1e-6)


def test_classification_loss_of_texts():
    shares = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.3, 0.7]])
    loss = classification_loss(shares.log(), torch.tensor([0, -100, 1]))
    assert loss.item() == pytest.approx(-(math.log(0.5) + math.log(0.7)) / 2)


def test_align_labels_by_hand():
    word_ids = [None, 0, 1, 1, 1, 2, None, 0, 0, None]
    assert align_labels([5, 0, 7], word_ids) == [-100, 5, 0, -100, -100, 7, -100, 5, -100, -100]


def test_align_labels_with_the_word_ids_of_a_real_tokenizer():
    from transformers import BertTokenizerFast

    from course_lib.pretrained.minilm import SOURCE

    tokenizer = BertTokenizerFast.from_pretrained(SOURCE.find())
    words = ["Antidisestablishmentarianism", "lives", "in", "Łódź"]
    encoded = tokenizer(words, is_split_into_words=True)
    labels = align_labels([1, 2, 3, 4], encoded.word_ids())
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    assert len(labels) == len(tokens) > 8
    assert [label for label in labels if label != -100] == [1, 2, 3, 4]
    special = set(tokenizer.all_special_tokens)
    for token, label in zip(tokens, labels):
        assert (label == -100) == (token.startswith("##") or token in special), token


@pytest.mark.parametrize("word_id", [-1, 2])
def test_align_labels_without_a_label(word_id):
    with pytest.raises(ValueError, match="word_ids"):
        align_labels([1, 2], [0, word_id])


@given(st.integers(0, 100), st.sampled_from([0.0, 0.1, 0.7, 1.0]))
def test_label_smoothing_is_torchs(seed, smoothing):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 5, 7, generator=generator)
    labels = torch.randint(7, (2, 5), generator=generator)
    labels[torch.rand(2, 5, generator=generator) < 0.3] = -100
    labels[0, 0] = 1
    ours = label_smoothing_loss(logits, labels, smoothing)
    theirs = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=smoothing)
    torch.testing.assert_close(ours, theirs)


def test_label_smoothing_without_labels_and_with_a_bad_share():
    logits, labels = torch.randn(3, 4), torch.full((3,), -100)
    assert label_smoothing_loss(logits, labels, 0.1) == 0
    with pytest.raises(ValueError, match="^smoothing "):
        label_smoothing_loss(logits, labels, 1.5)
