from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import transformers

from course_lib.encoder import Encoder, EncoderConfig, MaskedLM, mean_pool
from course_lib.transformer import count_parameters

CONFIG = EncoderConfig(vocab_size=31, max_length=12, width=24, n_layers=2, n_heads=3, ffn_width=40)


def make_encoder(seed: int = 0) -> Encoder:
    """Weights large enough for every part to matter in the output."""
    model = Encoder(CONFIG, torch.Generator().manual_seed(seed)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed + 1))
            parameter += 0.2 * noise
    return model


def random_ids(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, CONFIG.vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def test_equals_bert_of_transformers():
    reference = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=CONFIG.vocab_size,
            hidden_size=CONFIG.width,
            num_hidden_layers=CONFIG.n_layers,
            num_attention_heads=CONFIG.n_heads,
            intermediate_size=CONFIG.ffn_width,
            max_position_embeddings=CONFIG.max_length,
            type_vocab_size=CONFIG.n_segments,
        ),
        add_pooling_layer=False,
    ).eval()
    model = make_encoder()
    names = {
        "token_embedding": "embeddings.word_embeddings",
        "position_embedding": "embeddings.position_embeddings",
        "segment_embedding": "embeddings.token_type_embeddings",
        "embedding_norm": "embeddings.LayerNorm",
        "blocks": "encoder.layer",
        "attention.q_proj": "attention.self.query",
        "attention.k_proj": "attention.self.key",
        "attention.v_proj": "attention.self.value",
        "attention.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "norm2": "output.LayerNorm",
        "ffn_in": "intermediate.dense",
        "ffn_out": "output.dense",
    }
    theirs = {}
    for name, tensor in model.state_dict().items():
        for our, their in names.items():
            name = name.replace(our, their)
        theirs[name] = tensor
    reference.load_state_dict(theirs)
    ids, segment_ids = random_ids(3, 9), torch.tensor([[0] * 4 + [1] * 5] * 3)
    attention_mask = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [1] * 8 + [0]])
    expected = reference(ids, attention_mask, segment_ids).last_hidden_state
    got = model(ids, attention_mask, segment_ids)
    real = attention_mask.bool()
    torch.testing.assert_close(got[real], expected[real], rtol=1e-4, atol=1e-5)


def test_every_token_looks_at_every_other():
    model, ids = make_encoder(), random_ids(1, 6)
    before = model(ids)
    for changed in range(6):
        other = ids.clone()
        other[0, changed] = (other[0, changed] + 1) % CONFIG.vocab_size
        assert ((model(other) - before).abs().amax(-1) > 1e-3).all()


def test_padding_changes_nothing():
    model, row = make_encoder(), random_ids(1, 5)
    for filler in (0, 7):
        ids = F.pad(row, (0, 4), value=filler)
        attention_mask = torch.tensor([[1] * 5 + [0] * 4])
        got = model(ids, attention_mask)
        torch.testing.assert_close(got[:, :5], model(row), rtol=1e-4, atol=1e-5)


def test_an_empty_row_stays_finite():
    model, ids = make_encoder(), random_ids(2, 4)
    attention_mask = torch.tensor([[0] * 4, [1] * 4])
    output = model(ids, attention_mask)
    assert output.isfinite().all()
    output.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_no_segments_means_segment_0():
    model, ids = make_encoder(), random_ids(2, 4)
    assert torch.equal(model(ids), model(ids, segment_ids=torch.zeros_like(ids)))
    assert not torch.allclose(model(ids), model(ids, segment_ids=torch.ones_like(ids)), atol=1e-2)


@pytest.mark.parametrize("tied", [True, False])
def test_masked_lm_has_the_counted_parameters_and_a_segment_table(tied):
    config = replace(CONFIG, tied=tied)
    built = sum(parameter.numel() for parameter in MaskedLM(config).parameters())
    assert built == count_parameters(config)["total"] + config.n_segments * config.width


def test_masked_lm_fills_the_gap():
    model = MaskedLM(CONFIG, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    ids = torch.arange(10)[None]
    gaps = ids.repeat(10, 1)
    gaps.fill_diagonal_(30)  # row n hides token n
    for _ in range(60):
        loss = F.cross_entropy(model(gaps).diagonal().T, ids[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert torch.equal(model(gaps).diagonal().T.argmax(-1), ids[0])


def test_same_seed_same_model():
    first, same, other = (
        MaskedLM(CONFIG, torch.Generator().manual_seed(seed)).state_dict() for seed in (3, 3, 4)
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    name = "encoder.token_embedding.weight"
    assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"width": 0}, ValueError, "width must be at least 1, got 0"),
        ({"n_segments": 0}, ValueError, "n_segments must be at least 1, got 0"),
        ({"max_length": "12"}, TypeError, "max_length must be an int, got '12'"),
        ({"n_heads": 5}, ValueError, "n_heads must divide the width 24, got 5"),
    ],
)
def test_bad_config(change, error, says):
    with pytest.raises(error, match=says):
        replace(CONFIG, **change)


def test_bad_inputs():
    model, ids = make_encoder(), random_ids(2, 4)
    with pytest.raises(TypeError, match="ids"):
        model([[1, 2]])
    with pytest.raises(TypeError, match="ids"):
        model(ids.float())
    with pytest.raises(ValueError, match="ids"):
        model(ids + CONFIG.vocab_size)
    with pytest.raises(ValueError, match="12"):
        model(random_ids(1, 13))
    with pytest.raises(ValueError, match="attention_mask must have the shape"):
        model(ids, torch.ones(2, 3))
    with pytest.raises(ValueError, match="segment_ids"):
        model(ids, segment_ids=torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="segment_ids"):
        model(ids, segment_ids=torch.full((2, 4), 2))


# ------------------------------------------------------------------ mean_pool


def test_mean_pool_by_hand():
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [9.0, 9.0]], [[5.0, 5.0]] * 3])
    pooled = mean_pool(hidden, torch.tensor([[1, 1, 0], [0, 0, 0]]))
    assert pooled.tolist() == [[2.0, 4.0], [0.0, 0.0]]


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float32])
def test_mean_pool_equals_one_text_at_a_time(dtype):
    hidden = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)).double()
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [1, 0, 1, 0, 0]])
    expected = torch.stack([row[real.bool()].mean(0) for row, real in zip(hidden, mask)])
    pooled = mean_pool(hidden, mask.to(dtype))
    assert pooled.dtype == torch.float64
    torch.testing.assert_close(pooled, expected)


def test_mean_pool_looks_at_no_padding_not_even_at_nan():
    hidden = torch.full((2, 3, 4), torch.nan)
    hidden[0, :2] = 1.0
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    hidden.requires_grad_()
    pooled = mean_pool(hidden, mask)
    assert pooled.tolist() == [[1.0] * 4, [0.0] * 4]
    pooled.sum().backward()
    assert hidden.grad.isfinite().all()


def test_bad_masks():
    with pytest.raises(ValueError, match="attention_mask must hold only 0 and 1"):
        mean_pool(torch.zeros(1, 2, 3), torch.tensor([[2, 1]]))
    with pytest.raises(ValueError, match="attention_mask"):
        mean_pool(torch.zeros(1, 2, 3), torch.ones(1, 3))
    with pytest.raises(TypeError, match="hidden"):
        mean_pool(torch.zeros(1, 2, 3).long(), torch.ones(1, 2))
