from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import transformers
from tokenizers import Tokenizer

from course_lib.decoder import DecoderConfig, DecoderLM, resize_vocabulary
from course_lib.pretrained.export import export_decoder, load_decoder
from course_lib.tokenization import train_bpe

GPT = DecoderConfig(
    vocab_size=300, max_length=16, width=24, n_layers=3, n_heads=4, ffn_width=40, norm_eps=1e-4
)
LLAMA = replace(
    GPT,
    positions="rope",
    rope_base=500.0,
    norm="rms",
    feed_forward="swiglu",
    n_kv_heads=2,
    bias=False,
)
NEOX = replace(GPT, positions="rope", rope_base=500.0)
KINDS = {"gpt2": GPT, "gpt_neox": NEOX, "llama": LLAMA}
KINDS |= {"llama_all_heads": replace(LLAMA, n_kv_heads=None)}
every_kind = pytest.mark.parametrize(
    "config",
    [replace(config, tied=tied) for config in KINDS.values() for tied in (True, False)],
    ids=[f"{name}-{tied}" for name in KINDS for tied in ("tied", "untied")],
)


def make_model(config):
    """Weights that are far from their first values, norms and biases too."""
    model = DecoderLM(config).eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return model


@every_kind
@torch.no_grad()
def test_transformers_computes_the_same_logits(config, tmp_path):
    model = make_model(config)
    export_decoder(model, tmp_path / "new" / "folder")
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "new" / "folder", output_loading_info=True
    )
    assert not info["unexpected_keys"] and not info["mismatched_keys"]
    assert set(info["missing_keys"]) <= {"lm_head.weight", "embed_out.weight"} and (
        config.tied or not info["missing_keys"]
    )
    ids = torch.randint(300, (3, 16), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model(ids), theirs.eval()(ids).logits, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("config", [GPT, NEOX, LLAMA], ids=["gpt2", "gpt_neox", "llama"])
def test_transformers_writes_the_same_text(config, tmp_path):
    model = make_model(config)
    export_decoder(model, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = torch.randint(300, (1, 4), generator=torch.Generator().manual_seed(1))
    theirs_ids = theirs.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
    for _ in range(8):
        ids = torch.cat([ids, model(ids)[:, -1:].argmax(-1)], dim=1)
    assert torch.equal(ids, theirs_ids)


@every_kind
def test_round_trip_is_exact(config, tmp_path):
    model = make_model(config)
    export_decoder(model, tmp_path)
    back = load_decoder(tmp_path)
    ours, theirs = model.state_dict(), back.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    kv = {"n_kv_heads": config.n_kv_heads or (config.n_heads if config.norm == "rms" else None)}
    assert back.config == replace(config, **kv)
    assert not back.training
    ids = torch.arange(12)[None]
    torch.testing.assert_close(model(ids), back(ids))


@pytest.mark.parametrize("config", [GPT, NEOX, LLAMA], ids=["gpt2", "gpt_neox", "llama"])
def test_what_transformers_saves_loads(config, tmp_path):
    model = make_model(config)
    export_decoder(model, tmp_path / "ours")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    back = load_decoder(tmp_path / "theirs")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), back.parameters()))


def test_the_model_is_left_as_it_was(tmp_path):
    model = make_model(GPT)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export_decoder(model, tmp_path)
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}


def test_the_tokenizer_comes_along(tmp_path):
    text = "The cow guided the dog near the square. The dog hugged the cow. " * 3
    tokenizer = train_bpe(text, 300, ["<end>"])
    export_decoder(make_model(GPT), tmp_path, tokenizer)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for sentence in ("The dog hugged the square.<end>", "Grüße, 42 🐄"):
        expected = tokenizer.encode(sentence)
        assert (
            Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(sentence).ids == expected
        )
        assert theirs(sentence, add_special_tokens=False)["input_ids"] == expected


@pytest.mark.parametrize(
    "change",
    [{"norm": "rms"}, {"positions": "rope", "n_kv_heads": 1}, {"bias": False}, {"n_kv_heads": 2}],
    ids=str,
)
def test_a_model_that_is_neither(change, tmp_path):
    with pytest.raises(ValueError, match="model must be a GPT-2 .* a GPT-NeoX .* or a LLaMA"):
        export_decoder(make_model(replace(GPT, **change)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_another_kind(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="model_type must be one of .*, got 'bert'"):
        load_decoder(tmp_path)
    with pytest.raises(FileNotFoundError):
        load_decoder(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change",
    [{"use_parallel_residual": True}, {"rope_parameters": {"partial_rotary_factor": 0.25}}],
)
def test_a_gpt_neox_that_we_do_not_have(change, tmp_path):
    export_decoder(make_model(NEOX), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(ValueError, match="use_parallel_residual|rotary_pct"):
        load_decoder(tmp_path)


def test_an_activation_that_we_do_not_have(tmp_path):
    export_decoder(make_model(GPT), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"activation_function": "relu"}))
    with pytest.raises(ValueError, match="activation_function must be 'gelu' or .*, got 'relu'"):
        load_decoder(tmp_path)


@torch.no_grad()
@pytest.mark.parametrize("size", [290, 300, 317])
@pytest.mark.parametrize("config", [GPT, replace(LLAMA, tied=False)], ids=["tied", "untied"])
def test_transformers_resizes_the_vocabulary_to_the_same(config, size, tmp_path):
    model = make_model(config)
    export_decoder(model, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    theirs.resize_token_embeddings(size)  # its new rows are the mean, and very little noise
    resize_vocabulary(model, size)
    assert model.config.vocab_size == size
    ids = torch.randint(size, (3, 16), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(model(ids), theirs(ids).logits, rtol=1e-2, atol=1e-2)
    export_decoder(model, tmp_path / "again")
    torch.testing.assert_close(load_decoder(tmp_path / "again")(ids), model(ids))
