"""What a `config.json` of transformers says of a model, and what it means where it says nothing.

An entry that changes what a model computes is read, or its value is the one that our models have,
or the file is refused. For each architecture three lists say which is which; an entry in none of
them is refused by its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.rope_scaling import RopeScaling

__all__ = [
    "BERT",
    "GPT2",
    "LLAMA",
    "NEOX",
    "TANH",
    "Architecture",
    "one_of_two",
    "read_config",
    "read_json",
    "read_rope",
]


@dataclass(frozen=True)
class Architecture:
    """What the `config.json` of one architecture may hold.

    Attributes:
        model_type: its name in transformers.
        read: the entries that are read, with transformers' own value for one that is missing,
            since some of its versions leave those out; None stands for a whole number that may be
            null, {} for further entries.
        must: the entries whose value is fixed, with those that mean what our models do.
        harmless: the entries that change nothing in what a model computes.
    """

    model_type: str
    read: Mapping[str, Any]
    must: Mapping[str, tuple[Any, ...]]
    harmless: frozenset[str]


_NAMES = "architectures _name_or_path transformers_version transformers.js_config auto_map"
_DTYPES = "torch_dtype dtype use_bfloat16"  # whatever they are, we read float32
_IDS = "bos_token_id eos_token_id pad_token_id sep_token_id decoder_start_token_id prefix"
_IDS += " tokenizer_class id2label label2id num_labels problem_type finetuning_task"
_WRITING = """max_length min_length do_sample early_stopping num_beams temperature top_k top_p
    typical_p repetition_penalty length_penalty no_repeat_ngram_size bad_words_ids
    encoder_no_repeat_ngram_size num_return_sequences output_scores return_dict_in_generate
    forced_bos_token_id forced_eos_token_id remove_invalid_values suppress_tokens
    exponential_decay_length_penalty begin_suppress_tokens num_beam_groups diversity_penalty
    task_specific_params"""  # how transformers writes with the model; ours is asked each time
_RUNNING = """use_cache return_dict output_hidden_states output_attentions torchscript
    gradient_checkpointing chunk_size_feed_forward tf_legacy_loss tie_encoder_decoder
    attn_implementation _attn_implementation_autoset pretraining_tp initializer_range"""
_HARMLESS = frozenset(f"{_NAMES} {_DTYPES} {_IDS} {_WRITING} {_RUNNING}".split())
_MUST: dict[str, tuple[Any, ...]] = {
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
    "cross_attention_hidden_size": (None,),
    "pruned_heads": ({}, None),
}

# All say x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), which is nearly GELU.
TANH = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")

GPT2 = Architecture(
    "gpt2",
    read={
        "vocab_size": 50257,
        "n_positions": 1024,
        "n_embd": 768,
        "n_layer": 12,
        "n_head": 12,
        "n_inner": None,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
    },
    must=_MUST
    | {
        "activation_function": ("gelu", *TANH),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
    },
    harmless=_HARMLESS
    | set("n_ctx is_decoder reorder_and_upcast_attn resid_pdrop embd_pdrop attn_pdrop".split())
    | {f"summary_{part}" for part in ("type", "use_proj", "activation", "first_dropout")}
    | {"summary_proj_to_labels"},
)
NEOX = Architecture(
    "gpt_neox",
    read={
        "vocab_size": 50432,
        "max_position_embeddings": 2048,
        "hidden_size": 6144,
        "num_hidden_layers": 44,
        "num_attention_heads": 64,
        "intermediate_size": 24576,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "attention_bias": True,
        "use_parallel_residual": True,
        "rotary_pct": 0.25,
        "partial_rotary_factor": 0.25,  # some versions write both of a pair
        "rotary_emb_base": 10_000.0,
        "rope_theta": 10_000.0,
        "rope_parameters": {},
        "rope_scaling": {},
        "tie_word_embeddings": False,
    },
    must=_MUST | {"hidden_act": ("gelu", *TANH), "use_parallel_residual": (False,)},
    harmless=_HARMLESS
    | set("is_decoder attention_dropout hidden_dropout classifier_dropout".split()),
)
LLAMA = Architecture(
    "llama",
    read={
        "vocab_size": 32000,
        "max_position_embeddings": 2048,
        "hidden_size": 4096,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": None,
        "head_dim": None,
        "intermediate_size": 11008,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "attention_bias": False,
        "mlp_bias": False,
        "rope_theta": 10_000.0,
        "rope_parameters": {},
        "rope_scaling": {},
        "partial_rotary_factor": 1.0,
        "tie_word_embeddings": False,
    },
    must=_MUST | {"hidden_act": ("silu", "swish"), "rope_interleaved": (False,)},
    harmless=_HARMLESS | {"is_decoder", "attention_dropout", "is_llama_config"},
)
BERT = Architecture(
    "bert",
    read={
        "vocab_size": 30522,
        "max_position_embeddings": 512,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
    },
    must=_MUST
    | {"hidden_act": ("gelu",), "position_embedding_type": ("absolute",), "is_decoder": (False,)},
    harmless=_HARMLESS
    | {"tie_word_embeddings", "classifier_dropout", "directionality"}
    | {"hidden_dropout_prob", "attention_probs_dropout_prob"}
    | {f"pooler_{part}" for part in ("fc_size", "num_attention_heads", "num_fc_layers", "type")}
    | {"pooler_size_per_head"},
)


def read_json(path: Path) -> dict[str, Any]:
    """The entries of a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON, or no object of named entries.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{path} must hold named entries, got {type(entries).__name__}")
    return entries


def read_config(path: Path, architecture: Architecture) -> dict[str, Any]:
    """What a `config.json` says of a model of this architecture; what it leaves out, added.

    Raises:
        ValueError: it is of another architecture; an entry is unknown, of the wrong kind, or asks
            for a computation that our models do not have. The message names it.
    """
    entries = read_json(path)
    must = {"model_type": (architecture.model_type,)} | dict(architecture.must)
    complete = {"model_type": None, **architecture.read, **entries}
    for name, value in complete.items():
        if name in must and value not in must[name]:
            allowed = " or ".join(repr(one) for one in must[name])
            raise ValueError(f"{path}: {name} must be {allowed}, got {value!r}")
        if name in architecture.read and not _fits(value, architecture.read[name]):
            raise ValueError(
                f"{path}: {name} must be {_kind(architecture.read[name])}, got {value!r}"
            )
        known = name in must or name in architecture.read or name in architecture.harmless
        if not known and value is not None:
            raise ValueError(
                f"{path}: {name} is no entry of a {architecture.model_type} that course_lib knows, "
                f"and it may change what the model computes; got {value!r}"
            )
    return {name: complete[name] for name in architecture.read}


def _fits(value: Any, default: Any) -> bool:
    """Whether a value is of the kind of a default."""
    if default is None:
        return value is None or _fits(value, 1)
    if default == {}:
        return value is None or isinstance(value, dict)
    if isinstance(default, int | float) and not isinstance(default, bool):
        whole = isinstance(value, int) and not isinstance(value, bool)
        return (whole or (isinstance(default, float) and isinstance(value, float))) and value > 0
    return type(value) is type(default)


def _kind(default: Any) -> str:
    if default is None:
        return "a positive whole number or null"
    if default == {}:
        return "named entries or null"
    kinds = {bool: "true or false", int: "a positive whole number", str: "a text"}
    return kinds.get(type(default), "a positive number")


def one_of_two(path: Path, entries: Mapping[str, Any], name: str, other: str) -> Any:
    """What an entry with two names says, wherever it says more than its default.

    Raises:
        ValueError: the two names say different things.
    """
    said = {entries[name], entries[other]} - {NEOX.read[name]}
    if len(said) > 1:
        raise ValueError(
            f"{path}: {name} must be {other}, got {entries[name]} and {entries[other]}"
        )
    return said.pop() if said else NEOX.read[name]


def read_rope(
    path: Path, entries: Mapping[str, Any], base: float, share: float
) -> tuple[float, RopeScaling | None]:
    """The base and the scaling of rotary positions; transformers 5 writes them in
    `rope_parameters`, earlier ones in `rope_theta` and `rope_scaling`.

    Args:
        base: where the entries name none.
        share: of the channels that turn, where `rope_parameters` says nothing of it.

    Raises:
        ValueError: only some of the channels turn, or the scaling is one that we do not have.
    """
    rope = (entries["rope_scaling"] or {}) | (entries["rope_parameters"] or {})
    kind = rope.get("rope_type", rope.get("type")) or "default"
    if kind not in ("default", "linear", "llama3"):
        raise ValueError(f"{path}: rope_type must be default, linear or llama3, got {kind!r}")
    numbers = {name: value for name, value in rope.items() if name not in ("rope_type", "type")}
    known = {"rope_theta", "partial_rotary_factor", "factor", "low_freq_factor"}
    known |= {"high_freq_factor", "original_max_position_embeddings"}
    for name, value in numbers.items():
        if name not in known or not _fits(value, 1.0):
            raise ValueError(f"{path}: {name} of rope_parameters is not as expected, got {value!r}")
    if numbers.get("partial_rotary_factor", share) != 1:
        raise ValueError(f"{path}: rotary_pct (partial_rotary_factor) must be 1, as in course_lib")
    base = float(numbers.get("rope_theta", base))
    if kind == "default":
        return base, None
    try:
        if kind == "linear":
            return base, RopeScaling("linear", numbers["factor"])
        low, high = (numbers[f"{name}_freq_factor"] for name in ("low", "high"))
        length = numbers["original_max_position_embeddings"]
        return base, RopeScaling("llama3", numbers["factor"], low, high, length)
    except KeyError as error:
        raise ValueError(f"{path}: rope_type {kind!r} needs {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
