from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from course_lib.attention import causal_mask, record_attention
from course_lib.encoder_decoder import (
    CrossAttentionBlock,
    EncoderDecoder,
    EncoderDecoderConfig,
    greedy_translate,
)

CONFIG = EncoderDecoderConfig(
    vocab_size=23, max_length=16, width=24, n_layers=2, n_heads=4, ffn_width=40
)
START, END = 1, 2


def make_model(config: EncoderDecoderConfig = CONFIG, seed: int = 0) -> EncoderDecoder:
    """Weights large enough for every part to matter, biases and norms included."""
    generator = torch.Generator().manual_seed(seed)
    model = EncoderDecoder(config, generator).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def random_ids(*shape: int, seed: int = 0) -> torch.Tensor:
    """Ids without padding and special ids."""
    return torch.randint(3, CONFIG.vocab_size, shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------ the same as torch's own


def copy_attention(ours, theirs: nn.MultiheadAttention) -> None:
    parts = (ours.q_proj, ours.k_proj, ours.v_proj)
    theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
    theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(ours.out_proj.state_dict())


@torch.no_grad()
def as_torch_layer(block, kind) -> nn.Module:
    """torch's encoder or decoder layer with the weights of a block of ours."""
    sizes = (CONFIG.width, CONFIG.n_heads, CONFIG.ffn_width)
    layer = kind(*sizes, 0.0, "gelu", batch_first=True, norm_first=True)
    copy_attention(block.attention, layer.self_attn)
    pairs = [(block.norm1, layer.norm1), (block.ffn_in, layer.linear1)]
    pairs += [(block.ffn_out, layer.linear2)]
    if kind is nn.TransformerDecoderLayer:
        copy_attention(block.cross_attention, layer.multihead_attn)
        pairs += [(block.cross_norm, layer.norm2), (block.norm2, layer.norm3)]
    else:
        pairs += [(block.norm2, layer.norm2)]
    for ours, theirs in pairs:
        theirs.load_state_dict(ours.state_dict())
    return layer.eval()


def test_model_equals_torchs_layers() -> None:
    model = make_model()
    source, target = random_ids(3, 7), random_ids(3, 5, seed=1)
    source[1, 4:] = CONFIG.pad_id
    padding = source == CONFIG.pad_id  # torch's masks: True = blocked
    future = ~causal_mask(5)

    x = model.embed(source)
    for block in model.encoder:
        layer = as_torch_layer(block, nn.TransformerEncoderLayer)
        x = layer(x, src_key_padding_mask=padding)
    context = model.encoder_norm(x)
    y = model.embed(target)
    for block in model.decoder:
        layer = as_torch_layer(block, nn.TransformerDecoderLayer)
        y = layer(y, context, tgt_mask=future, memory_key_padding_mask=padding)
    expected = model.decoder_norm(y) @ model.token_embedding.weight.T
    torch.testing.assert_close(model(source, target), expected, rtol=1e-4, atol=1e-4)


def test_block_without_a_look_at_the_context_is_a_transformer_block() -> None:
    block = CrossAttentionBlock(24, 4, 40)
    nn.init.zeros_(block.cross_attention.out_proj.weight)
    nn.init.zeros_(block.cross_attention.out_proj.bias)
    x, context = torch.randn(2, 5, 24), torch.randn(2, 3, 24)
    mask = causal_mask(5)
    torch.testing.assert_close(
        block(x, context, mask), super(CrossAttentionBlock, block).forward(x, mask)
    )


def test_block_builds_no_part_to_throw_it_away(monkeypatch) -> None:
    built, build = [], nn.Module.__init__

    def counted(module, *args, **kwargs):
        built.append(module)
        build(module, *args, **kwargs)

    monkeypatch.setattr(nn.Module, "__init__", counted)
    block = CrossAttentionBlock(24, 4, 40)
    assert {id(part) for part in built} == {id(part) for part in block.modules()}


# ------------------------------------------------------------------ who sees whom


def test_target_sees_the_past_and_the_whole_source() -> None:
    model = make_model()
    source, target = random_ids(1, 6), random_ids(1, 5, seed=1)
    before = model(source, target)

    later = target.clone()
    later[0, 3] = (later[0, 3] + 1) % CONFIG.vocab_size
    after = model(source, later)
    torch.testing.assert_close(after[:, :3], before[:, :3])
    assert not torch.allclose(after[:, 3:], before[:, 3:])

    for place in range(6):  # each source token reaches the first target token
        other = source.clone()
        other[0, place] = 3 + (other[0, place] - 2) % (CONFIG.vocab_size - 3)
        assert not torch.allclose(model(other, target)[:, 0], before[:, 0])


def test_padding_of_the_source_changes_nothing() -> None:
    model = make_model()
    source, target = random_ids(2, 6), random_ids(2, 5, seed=1)
    padded = torch.cat([source, torch.zeros(2, 4, dtype=torch.long)], dim=1)
    torch.testing.assert_close(model(padded, target), model(source, target))


def test_the_padding_id_is_the_configs() -> None:
    model = make_model(replace(CONFIG, pad_id=22))
    source, target = random_ids(2, 6).clamp(max=21), random_ids(2, 5, seed=1)
    padded = torch.cat([source, torch.full((2, 4), 22)], dim=1)
    torch.testing.assert_close(model(padded, target), model(source, target))


def test_rows_do_not_see_each_other() -> None:
    model = make_model()
    source, target = random_ids(3, 6), random_ids(3, 5, seed=1)
    alone = torch.cat([model(source[i : i + 1], target[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(model(source, target), alone)


def test_recorded_maps_come_in_the_order_of_the_computation() -> None:
    model = make_model()
    source, target = random_ids(2, 6), random_ids(2, 5, seed=1)
    with record_attention() as weights:
        model(source, target)
    shapes = [tuple(w.shape[-2:]) for w in weights]
    assert shapes == [(6, 6), (6, 6), (5, 5), (5, 6), (5, 5), (5, 6)]
    for w in weights[3::2]:
        torch.testing.assert_close(w.sum(-1), torch.ones_like(w.sum(-1)))


# ------------------------------------------------------------------ building it


def test_same_generator_same_model() -> None:
    one, two, other = (
        EncoderDecoder(CONFIG, torch.Generator().manual_seed(s)).state_dict() for s in (5, 5, 6)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["token_embedding.weight"], other["token_embedding.weight"])


def test_untied_head_has_a_table_of_its_own() -> None:
    tied, untied = EncoderDecoder(CONFIG), EncoderDecoder(replace(CONFIG, tied=False))
    extra = set(untied.state_dict()) - set(tied.state_dict())
    assert extra == {"head.weight"}
    assert untied(random_ids(2, 3), random_ids(2, 4)).shape == (2, 4, CONFIG.vocab_size)


def test_gradients_reach_everything() -> None:
    model = make_model()
    model(random_ids(2, 6), random_ids(2, 5)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("change", "error", "name"),
    [
        ({"width": 0}, ValueError, "width"),
        ({"n_layers": 1.5}, TypeError, "n_layers"),
        ({"n_heads": 5}, ValueError, "n_heads"),
        ({"pad_id": 23}, ValueError, "pad_id"),
        ({"pad_id": None}, TypeError, "pad_id"),
    ],
)
def test_config_complains(change, error, name) -> None:
    with pytest.raises(error, match=name):
        replace(CONFIG, **change)


def test_model_complains() -> None:
    model = make_model()
    with pytest.raises(ValueError, match="ids"):
        model(random_ids(2, 17), random_ids(2, 3))
    with pytest.raises(ValueError, match="ids"):
        model(random_ids(2, 3), random_ids(2, 3) + 20)
    with pytest.raises(ValueError, match="target_ids"):
        model(random_ids(2, 3), random_ids(3, 3))
    with pytest.raises(TypeError, match="source_ids"):
        model(random_ids(2, 3).float(), random_ids(2, 3))


# ------------------------------------------------------------------ writing


class Script:
    """A "model" that writes what a script says: row r of the source holds the script's number."""

    def __init__(self, *scripts: list[int]) -> None:
        self.scripts = scripts
        self.calls = 0

    def __call__(self, source_ids, target_ids):
        self.calls += 1
        logits = torch.zeros(*target_ids.shape, 30)
        for row, number in enumerate(source_ids[:, 0].tolist()):
            script = self.scripts[number]
            for time in range(target_ids.shape[1]):
                assert target_ids[row, : time + 1].tolist()[:1] == [START]
                logits[row, time, script[min(time, len(script) - 1)]] = 1.0
        return logits


def test_rows_stop_by_themselves() -> None:
    model = Script([7, 8, END, 9, 9], [END, 9, 9, 9], [5, 6, 7, 8, END])
    source = torch.tensor([[0, 0], [1, 0], [2, 0]])
    written = greedy_translate(model, source, START, END, max_length=20)
    expected = [[7, 8, END, END, END], [END] * 5, [5, 6, 7, 8, END]]
    assert written.tolist() == expected
    assert model.calls == 5


def test_max_length_counts_what_is_returned() -> None:
    written = greedy_translate(Script([7, 8, 9, END]), torch.tensor([[0]]), START, END, 2)
    assert written.tolist() == [[7, 8]]
    with pytest.raises(ValueError, match="max_length"):
        greedy_translate(Script([7]), torch.tensor([[0]]), START, END, 0)


def test_each_step_reads_all_that_is_written() -> None:
    """Writing is the argmax of one forward over the finished text."""
    model = make_model(seed=3)
    source = random_ids(4, 6)
    written = greedy_translate(model, source, START, END, 10)
    assert written.dtype == torch.int64 and not written.requires_grad
    read = torch.cat([torch.full((4, 1), START), written[:, :-1]], dim=1)
    best = model(source, read).argmax(-1)
    for row, guess in zip(written.tolist(), best.tolist(), strict=True):
        length = row.index(END) + 1 if END in row else len(row)
        assert row[:length] == guess[:length]
        assert set(row[length:]) <= {END}


def test_a_row_writes_the_same_alone_and_in_a_batch() -> None:
    model = make_model(seed=4)
    source = random_ids(4, 6)
    together = greedy_translate(model, source, START, END, 10)
    for row in range(4):
        alone = greedy_translate(model, source[row : row + 1], START, END, 10)[0]
        assert together[row, : len(alone)].tolist() == alone.tolist()
