import itertools
import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers.trainer_pt_utils import get_parameter_names

from course_lib.decoder import DecoderConfig, DecoderLM
from course_lib.objectives import causal_lm_loss
from course_lib.training import (
    adamw,
    load_checkpoint,
    sample_windows,
    save_checkpoint,
    train,
    warmup_cosine,
)

TEXT = torch.arange(500) * 7 % 23
SIZES = {"vocab_size": 23, "max_length": 16, "width": 8, "n_layers": 1, "n_heads": 2}


def make_decoder(seed=0, width=8):
    config = DecoderConfig(**SIZES | {"width": width}, ffn_width=16)
    return DecoderLM(config, torch.Generator().manual_seed(seed))


def lm_loss(model, batch=4):
    def next_loss(generator):
        ids = sample_windows(TEXT, batch, 9, generator)
        return causal_lm_loss(model(ids), ids)

    return next_loss


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def run(model, *, next_loss=None, seed=0, **options):
    options = {"steps": 12, "learning_rate": 1e-2, "warmup": 3, "weight_decay": 0.1} | options
    next_loss = next_loss or lm_loss(model)
    return train(model, next_loss, generator=seeded(seed), progress=False, **options)


def same_weights(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# ------------------------------------------------------------------ windows


def test_windows_are_pieces_of_the_text():
    ids = torch.arange(100, 120)
    windows = sample_windows(ids, 500, 6, seeded())
    assert windows.shape == (500, 6) and windows.dtype == torch.int64
    assert (windows.diff(dim=1) == 1).all()
    assert windows[:, 0].min() == 100 and windows[:, -1].max() == 119  # first and last place too


def test_all_places_are_equally_likely():
    starts = sample_windows(torch.arange(7), 8000, 3, seeded())[:, 0]
    shares = starts.bincount() / len(starts)
    torch.testing.assert_close(shares, torch.full((5,), 0.2), atol=0.02, rtol=0)


def test_rows_are_independent():
    pairs = sample_windows(torch.arange(4), 2, 2, seeded(1)), sample_windows(TEXT, 64, 2, seeded())
    assert pairs[0].shape == (2, 2)
    places = sample_windows(torch.arange(500), 64, 2, seeded())[:, 0]
    assert len(places.unique()) > 40
    assert (places.diff().unique().numel()) > 40  # no common step either


def test_windows_follow_the_generator():
    one, same, other = (sample_windows(TEXT, 8, 5, seeded(seed)) for seed in (3, 3, 4))
    assert torch.equal(one, same) and not torch.equal(one, other)
    generator = seeded()
    first, second = (sample_windows(TEXT, 8, 5, generator) for _ in range(2))
    assert not torch.equal(first, second)


def test_a_text_as_long_as_the_window():
    assert torch.equal(sample_windows(TEXT[:5], 2, 5, seeded()), TEXT[:5].expand(2, 5))


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ((TEXT[:4], 2, 5), ValueError, "ids must have at least 5 tokens, got 4"),
        ((TEXT, 0, 5), ValueError, "batch must be at least 1, got 0"),
        ((TEXT, 2, 0), ValueError, "length must be at least 1, got 0"),
        ((TEXT[None], 2, 5), ValueError, r"ids must have the shape \[n_tokens\]"),
        ((TEXT.float(), 2, 5), TypeError, "ids must be a tensor of dtype int64"),
        ((TEXT.tolist(), 2, 5), TypeError, "ids must be a tensor, got list"),
    ],
)
def test_bad_windows(arguments, error, says):
    with pytest.raises(error, match=says):
        sample_windows(*arguments, seeded())


# ------------------------------------------------------------------ the schedule


def test_schedule_at_its_corners():
    rates = [warmup_cosine(step, 10, 110, 3.0, 1.0) for step in (0, 5, 10, 60, 110, 500)]
    assert rates == pytest.approx([0.0, 1.5, 3.0, 2.0, 1.0, 1.0])
    assert warmup_cosine(0, 0, 10, 3.0, 1.0) == 3.0
    assert warmup_cosine(10, 10, 10, 3.0, 1.0) == 1.0
    assert isinstance(warmup_cosine(0, 10, 110, 3, 1), float)


@given(st.integers(0, 50), st.integers(1, 200), st.floats(0.1, 1), st.floats(0, 0.1))
def test_schedule_rises_then_falls(warmup, rest, peak, floor):
    rates = [warmup_cosine(s, warmup, warmup + rest, peak, floor) for s in range(warmup + rest + 3)]
    assert rates[: warmup + 1] == sorted(rates[: warmup + 1])
    assert rates[warmup:] == sorted(rates[warmup:], reverse=True)
    assert rates[warmup] == max(rates) == pytest.approx(peak)
    assert rates[-1] == floor


def test_schedule_equals_torch():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=0.05)
    for step in range(40):
        assert warmup_cosine(step, 0, 40, 0.5, 0.05) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize(
    ("step", "warmup", "total", "says"),
    [
        (-1, 1, 5, "step must not be negative, got -1"),
        (0, 6, 5, "warmup must lie in 0 ... total = 5, got 6"),
        (0, -1, 5, "warmup must lie in"),
    ],
)
def test_bad_schedule(step, warmup, total, says):
    with pytest.raises(ValueError, match=says):
        warmup_cosine(step, warmup, total, 1.0, 0.0)


# ------------------------------------------------------------------ training


def test_learns_and_writes_down_what_happened():
    model = make_decoder()
    history = run(model, steps=150, learning_rate=3e-2)
    assert [row["step"] for row in history] == list(range(1, 151))
    assert history[0]["loss"] == pytest.approx(math.log(23), rel=0.05)
    assert history[-1]["loss"] < history[0]["loss"] / 2
    rates = [row["learning_rate"] for row in history]
    assert rates == [warmup_cosine(step, 3, 150, 3e-2, 0.0) for step in range(1, 151)]
    assert all(p.grad is None for p in model.parameters())


def test_equals_a_loop_written_by_hand():
    model, by_hand = make_decoder(), make_decoder()
    history = run(model, steps=5, learning_rate=1e-2, warmup=0, floor=1e-2, weight_decay=0.0)
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=1e-2, weight_decay=0.0)
    generator, next_loss = seeded(), lm_loss(by_hand)
    for row in history:
        loss = next_loss(generator)
        assert row["loss"] == loss.item()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(by_hand.parameters(), 1.0)
        optimizer.step()
    for ours, theirs in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_same_seed_same_training():
    models = [make_decoder() for _ in range(3)]
    histories = [run(model, seed=seed) for model, seed in zip(models, (5, 5, 6), strict=True)]
    assert histories[0] == histories[1] != histories[2]
    assert same_weights(models[0], models[1])


def test_accumulation_equals_a_big_batch():
    big, small = make_decoder().double(), make_decoder().double()
    batches = [TEXT[start : start + 9] for start in range(0, 12 * 8 * 9 % 400, 9)]

    def loss_of(model, size):
        state = {"at": 0}

        def next_loss(generator):
            rows = [batches[(state["at"] + i) % len(batches)] for i in range(size)]
            state["at"] += size
            ids = torch.stack(rows)
            return causal_lm_loss(model(ids), ids)

        return next_loss

    one = run(big, next_loss=loss_of(big, 8))
    four = run(small, next_loss=loss_of(small, 2), accumulate=4)
    assert [row["loss"] for row in one] == pytest.approx([row["loss"] for row in four])
    for ours, theirs in zip(big.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_clipping_limits_the_gradient():
    lengths = []

    def gradients(clip):
        weight = nn.Linear(1, 1, bias=False)
        hook = torch.optim.AdamW.step

        def next_loss(generator):
            return 1000 * weight.weight.sum()

        def step(self, *args, **kwargs):
            lengths.append(weight.weight.grad.norm().item())
            return hook(self, *args, **kwargs)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.AdamW, "step", step)
            run(weight, next_loss=next_loss, steps=1, warmup=0, clip=clip)

    gradients(clip=2.0)
    gradients(clip=math.inf)
    assert lengths == pytest.approx([2.0, 1000.0])


def test_decay_shrinks_matrices_alone():
    model = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))
    nn.init.ones_(model[0].weight)
    nn.init.ones_(model[0].bias)

    def next_loss(generator):
        return 0 * sum(p.sum() for p in model.parameters())

    run(model, next_loss=next_loss, steps=1, warmup=0, learning_rate=0.5, floor=0.5)
    torch.testing.assert_close(model[0].weight.data, torch.full((3, 3), 1 - 0.5 * 0.1))
    for vector in (model[0].bias, model[1].weight):
        assert torch.equal(vector.data, torch.ones(3))


def test_frozen_parameters_stay():
    model = make_decoder()
    model.token_embedding.weight.requires_grad_(False)
    before = model.token_embedding.weight.clone()
    run(model)
    assert torch.equal(model.token_embedding.weight, before)


def test_looks_on_after_every_step_and_leaves_the_mode():
    model, seen = make_decoder().eval(), []
    run(model, steps=4, on_step=lambda step, m: seen.append((step, m is model, m.training)))
    assert seen == [(step, True, False) for step in (1, 2, 3, 4)]


def test_bar_only_if_wanted(capsys):
    run(make_decoder(), steps=3)
    assert capsys.readouterr() == ("", "")
    model = make_decoder()
    train(model, lm_loss(model), steps=3, generator=seeded(), learning_rate=1e-2, description="abc")
    out, err = capsys.readouterr()
    assert out == "" and "abc" in err


# ------------------------------------------------------------------ checkpoints


class Interruption(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 5, 7, 11, 12])
def test_resumes_as_if_never_interrupted(tmp_path, stop):
    whole = make_decoder()
    expected = run(whole, accumulate=2)

    def interrupt(step, model):
        if step == stop:
            raise Interruption

    options = {"accumulate": 2, "checkpoint": tmp_path / "a" / "b", "checkpoint_every": 5}
    with pytest.raises(Interruption):
        run(make_decoder(), on_step=interrupt, **options)
    model = make_decoder(seed=9)  # whatever its weights are, the checkpoint's replace them
    fresh = stop < 5  # nothing saved yet
    history = run(make_decoder() if fresh else model, seed=0 if fresh else 77, **options)
    assert history == expected
    if not fresh:
        assert same_weights(model, whole)


def test_finished_training_is_only_read(tmp_path):
    model = make_decoder()
    history = run(model, checkpoint=tmp_path)
    again = make_decoder(seed=9)

    def never(generator):
        raise AssertionError("drew a batch")

    assert run(again, next_loss=never, checkpoint=tmp_path) == history
    assert same_weights(again, model)
    assert {path.name for path in tmp_path.iterdir()} == {"state.safetensors", "history.json"}
    assert json.loads((tmp_path / "history.json").read_text()) == history


def test_history_may_be_ahead_of_the_state(tmp_path):
    expected = run(make_decoder())
    options = {"checkpoint": tmp_path, "checkpoint_every": 5}

    def interrupt(step, model):
        if step == 6:
            raise Interruption

    with pytest.raises(Interruption):
        run(make_decoder(), on_step=interrupt, **options)
    (tmp_path / "history.json").write_text(json.dumps(expected))
    (tmp_path / "state.safetensors.new").write_bytes(b"half a fi")
    assert run(make_decoder(), **options) == expected


def test_tied_weights_and_frozen_ones_resume(tmp_path):
    def make():
        model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 5, bias=False))
        for p, seed in zip(model.parameters(), (1, 2, 3, 4), strict=False):
            nn.init.normal_(p, generator=seeded(seed))
        model[2].weight = model[0].weight
        model[1].bias.requires_grad_(False)
        return model

    def loss_of(model):
        return lambda g: model(torch.randint(5, (3,), generator=g)).logsumexp(-1).mean()

    whole = make()
    expected = run(whole, next_loss=loss_of(whole))
    broken = make()

    def interrupt(step, model):
        if step == 8:
            raise Interruption

    with pytest.raises(Interruption):
        run(broken, next_loss=loss_of(broken), checkpoint=tmp_path, on_step=interrupt)
    model = make()
    assert run(model, next_loss=loss_of(model), checkpoint=tmp_path) == expected
    assert same_weights(model, whole)


def test_checkpoint_of_another_training(tmp_path):
    run(make_decoder(), checkpoint=tmp_path)
    with pytest.raises(ValueError, match="of another training, with {'steps': 12}"):
        run(make_decoder(), checkpoint=tmp_path, steps=13)
    with pytest.raises(ValueError, match="of another model"):
        run(make_decoder(width=4), checkpoint=tmp_path)
    (tmp_path / "state.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="damaged"):
        run(make_decoder(), checkpoint=tmp_path)


# ------------------------------------------------------------------ errors at the door


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"clip": math.nan}, "clip must be a number, got nan"),
        ({"warmup": 13}, "warmup must lie in 0 ... steps = 12, got 13"),
    ],
)
def test_bad_numbers(options, says):
    with pytest.raises(ValueError, match=says):
        run(make_decoder(), **options)


def test_nothing_to_train():
    with pytest.raises(ValueError, match="requires a gradient, got none"):
        run(make_decoder().requires_grad_(False))


def test_a_loss_that_is_no_number():
    model = make_decoder()
    with pytest.raises(FloatingPointError, match="the loss of step 1 is nan"):
        run(model, next_loss=lambda g: math.nan * model.norm.weight.sum())


def test_batches_of_different_size_weigh_by_their_tokens():
    """As one large batch, and as `transformers` counts with `num_items_in_batch`."""
    data = torch.randn(6, 3, generator=seeded(1))

    def loss_of(rows):
        return lambda model: (model(data[rows]) ** 2).mean()

    whole, parts = (nn.Linear(3, 1) for _ in range(2))
    parts.load_state_dict(whole.state_dict())
    options = {"steps": 4, "generator": seeded(), "learning_rate": 0.1, "progress": False}
    expected = train(whole, lambda _: loss_of(slice(6))(whole), **options)
    turns = itertools.cycle([(slice(0, 1), 1), (slice(1, 6), 5)])

    def next_loss(_):
        rows, n = next(turns)
        return loss_of(rows)(parts), n

    history = train(parts, next_loss, accumulate=2, **options)
    for ours, one in zip(history, expected, strict=True):
        assert ours["loss"] == pytest.approx(one["loss"], rel=1e-5)
    for ours, one in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, one)


def test_a_step_without_a_token_changes_nothing():
    model = nn.Linear(3, 1)
    before = model.weight.clone()
    options = {"steps": 1, "generator": seeded(), "learning_rate": 0.1, "progress": False}
    (row,) = train(model, lambda _: (model(torch.ones(3)).sum() * 0, 0), **options)
    assert row["loss"] == 0 and torch.equal(model.weight, before)


def test_adamw_decays_what_transformers_decays():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2, bias=False))
    model[2].requires_grad_(False)
    decayed, not_decayed = adamw(model, 0.1, 0.5).param_groups
    theirs = set(get_parameter_names(model, [nn.LayerNorm], ["bias"]))  # as in their Trainer
    assert [id(p) for p in decayed["params"]] == [id(model[0].weight)] and decayed["lr"] == 0.1
    named = {id(p): name for name, p in model.named_parameters()}
    assert {named[id(p)] for p in decayed["params"]} == theirs - {"2.weight"}  # which is frozen
    assert not {named[id(p)] for p in not_decayed["params"]} & theirs
    assert decayed["weight_decay"] == 0.5 and not_decayed["weight_decay"] == 0


def test_a_checkpoint_alone_goes_on_as_torch_would(tmp_path):
    def step(model, optimizer, generator):
        model(torch.randn(5, 3, generator=generator)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    model, generator = nn.Linear(3, 2), seeded()
    optimizer = adamw(model, 0.1)
    step(model, optimizer, generator)
    save_checkpoint(tmp_path, model, optimizer, generator, [{"step": 1, "loss": 0.5}])
    step(model, optimizer, generator)

    again, other = nn.Linear(3, 2), seeded(9)
    resumed = adamw(again, 0.1)
    assert load_checkpoint(tmp_path / "none", again, resumed, other) == []
    assert load_checkpoint(tmp_path, again, resumed, other) == [{"step": 1, "loss": 0.5}]
    step(again, resumed, other)
    assert torch.equal(again.weight, model.weight) and torch.equal(again.bias, model.bias)
