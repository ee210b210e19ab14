"""The course in its order: notebooks, titles, questions, minutes, exercises.

The one list that everything else asks. It imports nothing of the course, and costs nothing to read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Chapter:
    """A notebook of the course.

    `notebook` is its folder and file; `idea` is the module of `course_lib` that it builds, and the
    folder in `course_lib.exercises` that says what is demanded; `minutes` are for working through.
    """

    notebook: str
    idea: str
    title: str
    question: str
    minutes: int
    exercises: tuple[str, ...]  # their names, in the order of the notebook

    @property
    def exercise_ids(self) -> tuple[str, ...]:
        """Such as "attention.softmax": idea, dot, name."""
        return tuple(f"{self.idea}.{name}" for name in self.exercises)


CHAPTERS = (
    Chapter(
        "00_start_here",
        "probability",
        "Start here",
        "What does a language model do, and how does this course work?",
        45,
        (
            "autocomplete_bigram",
            "greedy_next_token",
            "chain_rule_log_prob",
        ),
    ),
    Chapter(
        "01_tokenization",
        "tokenization",
        "Tokenization",
        "How does text become numbers?",
        120,
        (
            "count_pairs",
            "merge_pair",
            "train_bpe",
            "bpe_encode",
            "bpe_decode",
            "wordpiece_encode",
            "unigram_encode",
            "encode_pair_batch",
            "prompt_cost",
        ),
    ),
    Chapter(
        "02_embeddings",
        "embeddings",
        "Embeddings",
        "How does a word become numbers, and how does a model know where it stands?",
        120,
        (
            "embed_one_hot",
            "nearest_neighbours",
            "skipgram_loss",
            "analogy",
            "sinusoidal_positions",
            "input_embeddings",
            "apply_rope",
        ),
    ),
    Chapter(
        "03_attention",
        "attention",
        "Attention",
        "How does a word learn from the words around it?",
        120,
        (
            "softmax",
            "attention_scores",
            "causal_mask",
            "padding_mask",
            "scaled_dot_product_attention",
            "split_heads",
            "merge_heads",
            "MultiHeadAttention",
            "streaming_attention",
        ),
    ),
    Chapter(
        "04_transformer_block",
        "transformer",
        "The transformer block",
        "What stands around attention, and why can blocks be stacked?",
        120,
        (
            "layer_norm",
            "rms_norm",
            "gelu_feed_forward",
            "swiglu",
            "TransformerBlock",
            "lstm_step",
            "count_parameters",
        ),
    ),
    Chapter(
        "05_encoder_only",
        "encoder",
        "Encoder-only",
        "How does a model read, and how does it learn to?",
        120,
        (
            "mask_tokens",
            "masked_lm_loss",
            "mean_pool",
            "classification_loss",
            "align_labels",
            "LoRALinear",
        ),
    ),
    Chapter(
        "06_decoder_only",
        "decoder",
        "Decoder-only",
        "How does a model write, and how near can it come to the best possible?",
        150,
        (
            "train_ngram",
            "ngram_probs",
            "causal_lm_loss",
            "perplexity",
            "DecoderLM",
            "sample_windows",
            "warmup_cosine",
            "decode_step",
            "inference_memory",
        ),
    ),
    Chapter(
        "07_encoder_decoder",
        "encoder_decoder",
        "Encoder-decoder",
        "How does a model turn one text into another?",
        100,
        (
            "shift_right",
            "seq2seq_loss",
            "CrossAttentionBlock",
            "EncoderDecoder",
            "greedy_translate",
            "corrupt_spans",
            "fill_spans",
        ),
    ),
    Chapter(
        "08_decoding",
        "decoding",
        "Decoding",
        "The model gives probabilities. How do you get a text from them?",
        120,
        (
            "sample",
            "apply_temperature",
            "top_k_filter",
            "top_p_filter",
            "repetition_penalty",
            "stream_tokens",
            "generate",
            "beam_search",
            "speculative_accept",
        ),
    ),
    Chapter(
        "09_in_context_learning",
        "in_context",
        "In-context learning",
        "What does a model learn from the examples in a prompt, and where does that come from?",
        110,
        (
            "build_prompt",
            "accuracy_by_shots",
            "chat_prompt",
            "option_log_likelihoods",
            "contextual_calibration",
            "induction_score",
        ),
    ),
    Chapter(
        "10_scaling",
        "scaling",
        "Scaling",
        "What is the best model that a budget can buy?",
        100,
        (
            "training_flops",
            "exact_training_flops",
            "isoflop_minimum",
            "fit_power_law",
            "training_envelope",
            "parametric_loss",
            "compute_optimal",
            "fit_parametric",
        ),
    ),
    Chapter(
        "11_adapting",
        "adapting",
        "Adapting",
        "How does a model that writes on become one that does what is wanted?",
        130,
        (
            "instruction_example",
            "add_lora",
            "preference_loss",
            "dpo_loss",
            "kl_reward",
            "policy_gradient_loss",
            "choose_passages",
            "quantize_rows",
            "dequantize_rows",
        ),
    ),
    Chapter(
        "13_project",
        "pipeline",
        "Project",
        "From a use case to a product: which model, adapted how, at what cost?",
        100,
        (
            "Pipeline",
            "evaluate_pipeline",
            "sign_test",
            "fertility",
            "serving_cost",
            "my_project",
        ),
    ),
)


def exercise_ids() -> Iterator[str]:
    """The id of every exercise, in the order of the course."""
    for chapter in CHAPTERS:
        yield from chapter.exercise_ids


def chapter_of(exercise_id: str) -> Chapter:
    """The notebook that an exercise stands in.

    Raises:
        ValueError: the course has no such exercise.
    """
    for chapter in CHAPTERS:
        if exercise_id in chapter.exercise_ids:
            return chapter
    raise ValueError(
        f"exercise_id: expected one of {', '.join(exercise_ids())}; got {exercise_id!r}"
    )


def chapter_called(notebook: str) -> Chapter | None:
    """The notebook of this name; None for one that is none of the course's."""
    return next((chapter for chapter in CHAPTERS if chapter.notebook == notebook), None)
