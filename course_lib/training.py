"""Training: batches from a long text, a learning rate that rises and falls, and the loop itself
(notebook 06)."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from course_lib.arguments import check_arguments
from course_lib.shapes import check_shapes

__all__ = [
    "adamw",
    "load_checkpoint",
    "sample_windows",
    "save_checkpoint",
    "train",
    "warmup_cosine",
]


@check_shapes
def sample_windows(
    ids: Int64[Tensor, "n_tokens"], batch: int, length: int, generator: torch.Generator
) -> Int64[Tensor, "batch length"]:
    """Cut pieces out of a long text, each from a random place; every place is equally likely.

    Args:
        ids: the text.
        batch: number of pieces, drawn independently: they may overlap.
        length: tokens in each.
        generator: decides the places.

    Raises:
        TypeError: `ids` is not an int64 tensor.
        ValueError: `ids` has not one axis or fewer than `length` tokens, or `batch` or `length` is
            below 1.
    """
    for name, number in {"batch": batch, "length": length}.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    if len(ids) < length:
        raise ValueError(f"ids must have at least {length} tokens, got {len(ids)}")

    n_places = len(ids) - length + 1
    starts = torch.randint(n_places, (batch, 1), generator=generator)
    return ids[starts + torch.arange(length)]  # [batch, 1] + [length] -> [batch, length]


def warmup_cosine(step: int, warmup: int, total: int, peak: float, floor: float) -> float:
    """The learning rate at a step: a straight climb, then half a wave of the cosine down.

    0 at step 0, `peak` at step `warmup`, `floor` at step `total` and ever after (Loshchilov and
    Hutter 2017, without restarts; with warmup as in GPT-3, Brown et al. 2020, appendix B).

    Args:
        step: counted from 0.
        warmup: steps of the climb; with 0 it starts at the peak.
        total: steps of all.
        peak, floor: highest and last learning rate.

    Raises:
        ValueError: `step` is negative, or not 0 <= warmup <= total.
    """
    if step < 0:
        raise ValueError(f"step must not be negative, got {step}")
    if not 0 <= warmup <= total:
        raise ValueError(f"warmup must lie in 0 ... total = {total}, got {warmup}")

    if step < warmup:
        return peak * step / warmup
    if step >= total:
        return floor
    progress = (step - warmup) / (total - warmup)  # 0 at the peak, 1 at the end
    return floor + (peak - floor) * (1 + math.cos(math.pi * progress)) / 2


@check_arguments
def adamw(model: nn.Module, learning_rate: float, weight_decay: float = 0.0) -> torch.optim.AdamW:
    """AdamW for what is to be trained, which decays matrices only (Loshchilov and Hutter 2019).

    Biases and the scales of norms are few, and where they should be is not near 0.

    Raises:
        ValueError: no parameter is to be trained, or a number is negative.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("model must have a parameter that requires a gradient, got none")
    for name, value in {"learning_rate": learning_rate, "weight_decay": weight_decay}.items():
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}")
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2]},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=0.0)


@check_arguments
def train(
    model: nn.Module,
    next_loss: Callable[[torch.Generator], Float[Tensor, ""] | tuple[Float[Tensor, ""], float]],
    *,
    steps: int,
    generator: torch.Generator,
    learning_rate: float,
    warmup: int = 0,
    floor: float = 0.0,
    weight_decay: float = 0.0,
    clip: float = 1.0,
    accumulate: int = 1,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    description: str = "training",
    progress: bool = True,
    on_step: Callable[[int, nn.Module], Any] | None = None,
) -> list[dict[str, float]]:
    """Train in place: AdamW, `warmup_cosine`, clipped gradients.

    Only parameters that require gradients are trained. The model stays in the mode, train or eval,
    that it is in.

    Args:
        model: what learns.
        next_loss: draws a batch with the generator it is given, and returns the mean loss on it;
            or this and its weight, such as the number of labelled tokens.
        steps: number of updates, in all.
        generator: the only source of chance.
        learning_rate: the peak.
        warmup, floor: as in `warmup_cosine`; a floor as high as the peak keeps it constant.
        weight_decay: of matrices; biases and norms have none (Loshchilov and Hutter 2019).
        clip: gradients together are never longer than this (Pascanu et al. 2013); inf = no limit.
        accumulate: batches a step. Their gradients are averaged, by their weights, so that a large
            batch fits in the memory of a small one: equal when the weights say how many labelled
            tokens each has.
        checkpoint: a folder that keeps how far the training came. If it is there, the training
            goes on from it, as if it had never stopped; a finished one is only read.
        checkpoint_every: steps from one save to the next; a tenth of all if not given.
        description: what the progress bar says.
        progress: show a bar on stderr.
        on_step: called as `on_step(step, model)` after each update.

    Returns:
        One row a step: `step` (from 1), `loss` (of its batches, before the update, nats) and
        `learning_rate`.

    Raises:
        ValueError: a number is out of range, no parameter is to be trained, or the checkpoint is
            of another training.
        FloatingPointError: the loss is no number any more.
    """
    every = max(1, steps // 10) if checkpoint_every is None else checkpoint_every
    for name, number in {
        "steps": steps,
        "accumulate": accumulate,
        "checkpoint_every": every,
    }.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    for name, value in {"learning_rate": learning_rate, "clip": clip}.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    if not 0 <= warmup <= steps:
        raise ValueError(f"warmup must lie in 0 ... steps = {steps}, got {warmup}")

    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = adamw(model, learning_rate, weight_decay)

    settings = {"steps": steps, "learning_rate": learning_rate, "warmup": warmup, "floor": floor}
    settings |= {"weight_decay": weight_decay, "clip": clip, "accumulate": accumulate}
    history: list[dict[str, float]] = []
    if checkpoint is not None:
        history = load_checkpoint(checkpoint, model, optimizer, generator, settings)

    for step in _with_bar(range(len(history) + 1, steps + 1), steps, description, progress):
        rate = warmup_cosine(step, warmup, steps, learning_rate, floor)
        for group in optimizer.param_groups:
            group["lr"] = rate

        summed, total = 0.0, 0.0
        for _ in range(accumulate):
            drawn = next_loss(generator)
            loss, weight = drawn if isinstance(drawn, tuple) else (drawn, 1.0)
            loss = loss * weight
            loss.backward()  # gradients add up
            summed, total = summed + loss.item(), total + weight
        total = total or 1.0  # nothing was labelled, so the loss is 0
        mean_loss = summed / total
        for parameter in parameters if total != 1 else ():
            if parameter.grad is not None:
                parameter.grad /= total
        if not math.isfinite(mean_loss):
            raise FloatingPointError(f"the loss of step {step} is {mean_loss}")
        nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        optimizer.zero_grad()

        history.append({"step": step, "loss": mean_loss, "learning_rate": rate})
        if checkpoint is not None and (step % every == 0 or step == steps):
            save_checkpoint(checkpoint, model, optimizer, generator, history, settings)
        if on_step is not None:
            on_step(step, model)
    return history


def _with_bar(steps: range, total: int, description: str, progress: bool) -> Any:
    from tqdm import tqdm

    done = total - len(steps)
    return tqdm(steps, description, total, initial=done, unit="step", disable=not progress)


# A checkpoint is a folder with two files: `state.safetensors`, of which the tensors are the model's
# ("model."), the optimiser's ("optimizer.") and the generator's state, and `history.json`. The
# history is written first and may be ahead; the state's own step says how much of it counts. Each
# file replaces its predecessor in one move, so that an interruption never leaves half of one.


@check_arguments
def save_checkpoint(
    folder: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    history: list[dict[str, float]],
    settings: Mapping[str, float] | None = None,
) -> None:
    """Keep how far a training came, as `train` does: all that it needs to go on.

    Args:
        folder: made if it is not there; what it holds is replaced, never left in halves.
        model, optimizer, generator: what changes while it trains.
        history: a row a step so far.
        settings: what must be the same when it goes on.
    """
    from safetensors.torch import save_file

    folder, settings = Path(folder), settings or {}
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in state.items()}
    tensors["generator"] = generator.get_state()
    # safetensors refuses tensors that share memory, as tied weights do
    own = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    metadata = {"step": str(len(history)), "settings": json.dumps(dict(settings))}

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "history.json.new").write_text(json.dumps(history), encoding="utf-8")
    os.replace(folder / "history.json.new", folder / "history.json")
    save_file(own, folder / "state.safetensors.new", metadata)
    os.replace(folder / "state.safetensors.new", folder / "state.safetensors")


@check_arguments
def load_checkpoint(
    folder: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    settings: Mapping[str, float] | None = None,
) -> list[dict[str, float]]:
    """Put everything back, in place, as `save_checkpoint` left it.

    Returns:
        The history up to there; an empty one if there is no checkpoint.

    Raises:
        ValueError: the checkpoint is damaged, or of another model or other settings.
    """
    from safetensors import SafetensorError, safe_open

    folder, settings = Path(folder), settings or {}
    if not (folder / "state.safetensors").exists():
        return []
    try:
        with safe_open(folder / "state.safetensors", framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    except SafetensorError as error:
        raise ValueError(f"checkpoint {folder} holds a file that is damaged: {error}") from error
    saved = json.loads(metadata["settings"])
    if saved != dict(settings):
        others = {name: value for name, value in saved.items() if settings.get(name) != value}
        raise ValueError(f"checkpoint {folder} is of another training, with {others}")

    weights: dict[str, Tensor] = {}
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        owner, _, rest = name.partition(".")
        if owner == "model":
            weights[rest] = tensor
        elif owner == "optimizer":
            number, _, part = rest.partition(".")
            state.setdefault(int(number), {})[part] = tensor
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"checkpoint {folder} is of another model: {error}") from error
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    generator.set_state(tensors["generator"])
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    return history[: int(metadata["step"])]


# Checked here, so that the functions above are what the exercises show.

warmup_cosine = check_arguments(warmup_cosine)
