from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from course_lib.data.shop_messages import shop_messages
from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.experiments import adapting
from course_lib.objectives import causal_lm_loss


class Bytes:
    """A tokenizer that has read nothing: one id for each byte."""

    def encode(self, text: str) -> list[int]:
        return list(text.encode())


@pytest.fixture
def model():
    config = DecoderConfig(
        256, 1024, 16, n_layers=3, n_heads=4, ffn_width=24, n_kv_heads=2, positions="rope",
        norm="rms", feed_forward="swiglu", bias=False,
    )  # fmt: skip
    return DecoderLM(config, torch.Generator().manual_seed(0))


def test_prompts_show_what_they_are_given_and_no_answer():
    *shown, asked = shop_messages()[:4]
    prompt = adapting.shop_prompt(asked, shown, "Answer with JSON.")
    assert prompt.count("<|im_start|>") == 1 + 2 * 3 + 2
    assert all(adapting.as_json(one) in prompt for one in shown)
    assert adapting.as_json(asked) not in prompt and asked.text in prompt
    assert json.loads(adapting.as_json(asked)) == {"team": asked.team, "product": asked.product}


def test_the_upper_part_says_what_the_model_says(model):
    ids = torch.randint(256, (2, 7), generator=torch.Generator().manual_seed(1))
    labels = ids.clone()
    labels[:, :3] = labels[1, 5:] = -100
    x = adapting.read_lower(model, ids, 2)
    loss = adapting.loss_at_labels(adapting.UpperPart(model, 2), x, labels)
    torch.testing.assert_close(loss, causal_lm_loss(model(ids), labels))


def test_teaching_changes_the_upper_blocks_alone_and_helps(model):
    messages = shop_messages()[:6]
    texts = [adapting.shop_prompt(m) + adapting.as_json(m) for m in messages]
    before = adapting.text_loss(model, Bytes(), texts, 400)
    lower = {k: v.clone() for k, v in model.blocks[0].state_dict().items()}
    history = adapting.teach(
        model, Bytes(), messages, n_upper=2, rank=4, steps=8,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert len(history) == 8
    assert all(torch.equal(v, lower[k]) for k, v in model.blocks[0].state_dict().items())
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith(("blocks.1", "blocks.2")) for name in trained)
    assert adapting.text_loss(model, Bytes(), texts, 400) < before


def test_fewer_bits_are_nearer_the_more_they_are(model):
    ids = torch.arange(9)[None]
    whole = model(ids)
    errors = [
        (adapting.with_fewer_bits(model, bits)(ids) - whole).abs().mean().item()
        for bits in (8, 5, 3, 2)
    ]
    assert 0 < errors[0] < errors[1] < errors[2] < errors[3]
    assert torch.equal(model(ids), whole)


def test_bytes_of_the_blocks_are_those_of_their_matrices(model):
    layers = [m for m in model.blocks.modules() if isinstance(m, nn.Linear)]
    assert adapting.block_bytes(model, 32) == sum(layer.weight.nbytes for layer in layers)
    rows = sum(len(layer.weight) for layer in layers)
    assert adapting.block_bytes(model, 8) == adapting.block_bytes(model, 32) / 4 + 2 * rows


def test_names_are_told_alike():
    assert adapting.plain("Top_K-filter") == "top k filter"
    assert "kettle" not in adapting.grounded_prompt("Which?", ["kettle: boils"]).split("Which?")[1]


def test_what_lora_changed_can_be_taken_back(model):
    ids = torch.arange(9)[None]
    whole = model(ids)
    adapting.teach(
        model, Bytes(), shop_messages()[:3], n_upper=1, rank=2, steps=2,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert not torch.equal(model(ids), whole)
    adapting.take_out_lora(model)
    assert torch.equal(model(ids), whole)
