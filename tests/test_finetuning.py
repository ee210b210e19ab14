from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from torch import nn

from course_lib.encoder import Encoder, EncoderConfig, mean_pool
from course_lib.finetuning import (
    LoRALinear,
    SequenceClassifier,
    TokenClassifier,
    add_lora,
    fine_tune,
    load_lora,
    merge_lora,
    save_lora,
    trainable_parameters,
)

CONFIG = EncoderConfig(vocab_size=20, max_length=8, width=12, n_layers=2, n_heads=3, ffn_width=16)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def trained_lora(bias: bool = True, dtype: torch.dtype = torch.float32) -> LoRALinear:
    torch.manual_seed(0)
    layer = LoRALinear(nn.Linear(5, 4, bias=bias, dtype=dtype), 2, 3.0, seeded())
    with torch.no_grad():
        layer.B.normal_(generator=seeded(1))
    return layer


def texts() -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(20, (6, 7), generator=seeded())
    return ids, (torch.arange(7) < torch.tensor([[7], [4], [1], [7], [6], [2]])).long()


# ------------------------------------------------------------------ LoRALinear


def test_lora_starts_as_the_base_and_moves():
    base = nn.Linear(5, 4)
    layer, x = LoRALinear(base, 2, 3.0, seeded()), torch.randn(3, 5)
    assert torch.equal(layer(x), base(x))
    layer(x).square().sum().backward()
    assert layer.B.grad.any() and not layer.A.grad.any()
    assert base.weight.grad is None and base.bias.grad is None


def test_lora_adds_the_scaled_product():
    layer, x = trained_lora(), torch.randn(2, 3, 5)
    expected = layer.base(x) + 3.0 / 2 * torch.einsum("bti,ri,or->bto", x, layer.A, layer.B)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_merged_layer_does_the_same_and_stands_alone(bias, dtype):
    layer, x = trained_lora(bias, dtype), torch.randn(3, 5, dtype=dtype)
    before = layer(x)
    merged = layer.merge()
    assert type(merged) is nn.Linear and (merged.bias is not None) == bias
    torch.testing.assert_close(merged(x), before)
    assert all(p.requires_grad and p.is_leaf for p in merged.parameters())
    with torch.no_grad():
        for parameter in merged.parameters():
            parameter.zero_()
    assert torch.equal(layer(x), before)


def test_the_change_has_the_rank_asked_for():
    layer = trained_lora()
    change = layer.merge().weight - layer.base.weight
    assert torch.linalg.matrix_rank(change, atol=1e-4) == 2


def test_same_seed_same_A():
    first, same, other = (LoRALinear(nn.Linear(5, 4), 2, 1.0, seeded(s)).A for s in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_bad_lora():
    with pytest.raises(TypeError, match="base must be an nn.Linear, got Embedding"):
        LoRALinear(nn.Embedding(3, 4), 2, 1.0)
    with pytest.raises(ValueError, match="rank must be at least 1, got 0"):
        LoRALinear(nn.Linear(3, 4), 0, 1.0)


# ------------------------------------------------------------------ a model of them


def test_add_lora_changes_nothing_and_freezes_the_rest():
    model = Encoder(CONFIG, seeded())
    before = model(*texts())
    add_lora(model, 2, 4.0, generator=seeded())
    assert torch.equal(model(*texts()), before)
    names = {n.rsplit(".", 2)[1] for n, p in model.named_parameters() if p.requires_grad}
    assert names == {"q_proj", "v_proj"}
    assert trainable_parameters(model) == 2 * 2 * (2 * 12 + 12 * 2)  # layers, q and v, A and B


def test_merge_lora_gives_back_the_old_architecture():
    model = Encoder(CONFIG, seeded())
    names = set(model.state_dict())
    add_lora(model, 2, 4.0, generator=seeded())
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, LoRALinear):
                module.B.normal_(generator=seeded(2))
    changed = model(*texts())
    merge_lora(model)
    assert set(model.state_dict()) == names
    torch.testing.assert_close(model(*texts()), changed, rtol=1e-4, atol=1e-5)


def test_add_lora_needs_a_layer_of_that_name():
    with pytest.raises(ValueError, match="names"):
        add_lora(Encoder(CONFIG), 2, 1.0, names=("query",))


# ------------------------------------------------------------------ heads and training


def test_sequence_classifier_pools_and_ignores_padding():
    model = SequenceClassifier(Encoder(CONFIG, seeded()), 3, seeded())
    ids, mask = texts()
    expected = model.head(mean_pool(model.encoder(ids, mask), mask))
    assert torch.equal(model(ids, mask), expected) and expected.shape == (6, 3)
    alone = model(ids[1:2, :4], mask[1:2, :4])
    torch.testing.assert_close(alone, expected[1:2], rtol=1e-4, atol=1e-5)


def test_token_classifier_scores_each_token():
    model = TokenClassifier(Encoder(CONFIG, seeded()), 5, seeded())
    assert model(*texts()).shape == (6, 7, 5)


@pytest.mark.parametrize("head", [SequenceClassifier, TokenClassifier])
def test_fine_tuning_learns_and_leaves_frozen_weights(head):
    encoder = Encoder(CONFIG, seeded())
    before = copy.deepcopy(encoder.state_dict())
    model = head(encoder, 2, seeded())
    encoder.requires_grad_(False)
    inputs = texts()
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    if head is TokenClassifier:
        labels = (inputs[0] % 2).masked_fill(inputs[1] == 0, -100)
    history = fine_tune(
        model, inputs, labels, steps=80, generator=seeded(), learning_rate=0.3, progress=False
    )
    assert len(history) == 80
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_same_seed_same_training():
    losses = []
    for _ in range(2):
        model = SequenceClassifier(Encoder(CONFIG, seeded()), 2, seeded())
        losses.append(
            fine_tune(
                model,
                texts(),
                torch.tensor([0, 1, 0, 1, 1, 0]),
                steps=3,
                generator=seeded(5),
                learning_rate=1e-2,
                batch_size=4,
                progress=False,
            )
        )
    assert losses[0] == losses[1]


def test_inputs_and_labels_of_different_length():
    model = SequenceClassifier(Encoder(CONFIG, seeded()), 2, seeded())
    with pytest.raises(ValueError, match="inputs must have 5 rows"):
        fine_tune(
            model, texts(), torch.zeros(5).long(), steps=1, generator=seeded(), learning_rate=1.0
        )


def with_lora(seed, rank=2):
    model = SequenceClassifier(Encoder(CONFIG, seeded()), 2, seeded())
    add_lora(model, rank, 4.0, generator=seeded(seed))
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, LoRALinear):
                layer.B.normal_(generator=seeded(seed))
    return model.eval()


def test_lora_alone_is_saved_and_loaded(tmp_path):
    model, path = with_lora(1), tmp_path / "lora.safetensors"
    save_lora(model, path)
    with safe_open(path, framework="pt") as file:
        saved = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    adapted = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert saved.keys() == adapted.keys()
    assert all(torch.equal(saved[name], adapted[name]) for name in saved)

    plain = SequenceClassifier(Encoder(CONFIG, seeded()), 2, seeded()).eval()
    for fresh in (plain, with_lora(2, rank=3)):
        random_before = torch.get_rng_state()
        load_lora(fresh, path)
        assert torch.equal(torch.get_rng_state(), random_before)
        assert torch.equal(fresh(*texts()), model(*texts()))
        assert trainable_parameters(fresh) == trainable_parameters(model)


def test_lora_that_does_not_fit_leaves_the_model_as_it_was(tmp_path):
    model, path = with_lora(1), tmp_path / "lora.safetensors"
    save_lora(model, path)
    narrow = Encoder(replace(CONFIG, width=CONFIG.width // 2), seeded())
    other = SequenceClassifier(narrow, 2, seeded())
    with pytest.raises(ValueError, match="^path holds the LoRA of another model"):
        load_lora(other, path)
    assert trainable_parameters(other) == sum(p.numel() for p in other.parameters())
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(ValueError, match="^path must lead to a file of save_lora"):
        load_lora(model, tmp_path / "text")
    with pytest.raises(FileNotFoundError):
        load_lora(model, tmp_path / "none")
    with pytest.raises(ValueError, match="^model must hold a LoRALinear"):
        save_lora(other, path)
