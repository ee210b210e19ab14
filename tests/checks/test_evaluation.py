"""What a learner is told, in every way a solution can go wrong. The exercise is `softmax`."""

import json
import threading

import pytest
import torch

from course_lib import attention
from course_lib.checks import CheckFailed, check, evaluate, exercises, relations

SOFTMAX = "attention.softmax"


def told(solution, **options):
    report = evaluate(SOFTMAX, solution, **options)
    assert not report.passed and report.points == 0
    return report.message


def test_right():
    report = evaluate(SOFTMAX, attention.softmax)
    assert report.passed and report.misconception is None
    assert report.points == report.max_points == exercises()[SOFTMAX].points
    assert report.message.startswith("✓ attention.softmax: right on all")


def test_not_written_yet():
    def softmax(x, dim):
        raise NotImplementedError

    assert "not written yet" in told(softmax)


def test_waits_for_another_function():
    def helper():
        raise NotImplementedError

    def softmax(x, dim):
        return helper()

    assert "waits for `helper`" in told(softmax)


@pytest.mark.parametrize("thing", [None, 3, "softmax", torch.ones(2)])
def test_not_a_function(thing):
    assert "this is not a function" in told(thing)


def test_missing_return():
    def softmax(x, dim):
        x.exp() / x.exp().sum(dim, keepdim=True)

    assert "Is a `return` missing?" in told(softmax)


def test_crash_names_the_error_and_the_learners_line():
    def softmax(x, dim):
        return x.expp()

    message = told(softmax)
    assert "has no attribute 'expp'" in message
    assert "`return x.expp()`" in message


@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt, RecursionError, MemoryError])
def test_nothing_a_solution_raises_gets_out(exception):
    def softmax(x, dim):
        raise exception

    assert exception.__name__ in told(softmax)


def test_wrong_number_of_parameters():
    assert "TypeError" in told(lambda x: x)


def test_endless_loops_end(monkeypatch):
    monkeypatch.setattr(exercises()[SOFTMAX], "seconds", 0.2)

    def stubborn(x, dim):
        while True:
            try:  # noqa: SIM105
                pass
            except:  # noqa: E722 - a learner may write this
                pass

    before = set(threading.enumerate())
    assert "it does not finish" in told(stubborn)
    assert set(threading.enumerate()) <= before  # one of an earlier test may end meanwhile


def test_wrong_type_shape_and_dtype():
    assert "is a list; expected a Tensor" in told(lambda x, dim: x.tolist())
    assert "has shape" in told(lambda x, dim: x.sum(dim))
    assert "has dtype torch.float64" in told(lambda x, dim: attention.softmax(x, dim).double())


def test_changed_argument():
    def softmax(x, dim):
        result = attention.softmax(x, dim)
        x.zero_()
        return result

    assert "`x` is no longer what it was" in told(softmax)


@pytest.mark.parametrize(
    "softmax",
    [
        lambda x, dim: torch.softmax(x, dim),
        lambda x, dim: torch.nn.functional.softmax(x, dim),
        lambda x, dim: torch.nn.Softmax(dim)(x),
        lambda x, dim: x.softmax(dim),
    ],
)
def test_forbidden_calls(softmax):
    assert "it calls what you are asked to build" in told(softmax)
    assert torch.softmax(torch.zeros(2), 0).tolist() == [0.5, 0.5]  # free again afterwards


@pytest.mark.parametrize("kept", [torch.softmax, torch.nn.functional.softmax, torch.Tensor.softmax])
def test_forbidden_calls_under_another_name(kept):
    assert "it calls what you are asked to build" in told(lambda x, dim: kept(x, dim))


def test_two_tensors_where_one_is_wanted():
    assert "take `.values`" in told(lambda x, dim: (x - x.max(dim)).exp())


def test_misconception_by_name_with_the_smallest_failing_input():
    def softmax(x, dim):
        return x.exp() / x.exp().sum(dim, keepdim=True)

    report = evaluate(SOFTMAX, softmax)
    assert report.misconception == "overflows for large scores"
    evidence = dict(report.evidence)
    assert "nan" in evidence["got"] and "nan" not in evidence["expected"]
    assert "shape [4]" in evidence["x"]


def test_two_mistakes_at_once_are_told_by_what_they_do(monkeypatch):
    monkeypatch.setattr(relations, "_SECONDS", 60.0)  # how busy the machine is plays no part

    def unscaled_and_upside_down(q, k, v, mask=None):
        scores = q @ k.mT
        if mask is not None:
            scores = scores.masked_fill(mask, float("-inf"))
        weights = attention.softmax(scores, dim=-1)
        return weights @ v, weights

    report = evaluate("attention.scaled_dot_product_attention", unscaled_and_upside_down)
    assert not report.passed and report.misconception is None
    assert "for `q` times the root of its last size in place of `q`" in report.message
    assert "for `~mask` in place of `mask`" in report.message
    hidden = evaluate(
        "attention.scaled_dot_product_attention", unscaled_and_upside_down, hidden=True
    )
    assert "the right one" not in hidden.message


def test_an_unheard_of_mistake_is_given_no_name():
    assert "the mistake" not in told(lambda x, dim: torch.full_like(x, 0.123))


def test_a_table_is_drawn_when_a_part_of_it_is_wrong():
    def shows_the_first_the_last(target, source=None):
        mask = attention.causal_mask(target, source)
        mask[0, -1] = True
        return mask

    report = evaluate("attention.causal_mask", shows_the_first_the_last)
    assert "<svg" in report._repr_html_() and "<svg" not in report.message
    assert (
        "<svg"
        not in evaluate("attention.causal_mask", shows_the_first_the_last, hidden=True).picture
    )


def test_what_a_solution_prints_is_shown_when_it_is_wrong():
    def softmax(x, dim):
        print("sum is", 42)
        return x

    assert "sum is 42" in told(softmax)


def test_warnings_cost_nothing(capfd):
    def softmax(x, dim):
        import sys
        import warnings

        warnings.warn("careful", stacklevel=1)
        print("to stderr", file=sys.stderr)
        return attention.softmax(x, dim)

    assert evaluate(SOFTMAX, softmax).passed
    assert capfd.readouterr().err == ""


def test_hidden_reports_show_nothing_of_the_case():
    def leaky(x, dim):
        print(x)
        raise RuntimeError(f"the input was {x}")

    report = evaluate(SOFTMAX, leaky, hidden=True)
    assert report.evidence == ()
    assert "the input was" not in report.message and "tensor" not in report.message


def test_hidden_cases_differ_from_run_to_run_and_visible_ones_do_not():
    def inputs(**options):
        seen = []
        evaluate(SOFTMAX, lambda x, dim: seen.append(x.tolist()), **options)
        return json.dumps(seen)

    assert inputs() == inputs()
    assert inputs(hidden=True) != inputs(hidden=True)
    assert inputs(hidden=True, seed=3) == inputs(hidden=True, seed=3)


def test_a_visible_check_does_not_give_the_answers_to_a_hidden_one():
    memory = {}
    exercise = exercises()[SOFTMAX]

    def remember(x, dim):
        memory[str((x, dim))] = exercise.reference(x, dim)
        return memory[str((x, dim))]

    assert evaluate(SOFTMAX, remember).passed
    assert not evaluate(SOFTMAX, lambda x, dim: memory[str((x, dim))], hidden=True).passed


def test_check_shows_and_raises_one_line(capsys):
    check(SOFTMAX, attention.softmax)
    assert "right on all" in capsys.readouterr().out
    with pytest.raises(CheckFailed, match="^attention.softmax is not right yet: ") as caught:
        check(SOFTMAX, lambda x, dim: x)
    assert "expected" in capsys.readouterr().out
    assert caught.value._render_traceback_() == [str(caught.value)]
    check(SOFTMAX, attention.softmax, hidden=True)
    assert capsys.readouterr().out == ""


def test_check_records_progress(tmp_path, monkeypatch):
    (tmp_path / ".course").mkdir()
    (tmp_path / "notebook").mkdir()
    monkeypatch.chdir(tmp_path / "notebook")
    check(SOFTMAX, attention.softmax)
    (line,) = (tmp_path / ".course" / "progress.jsonl").read_text().splitlines()
    assert json.loads(line)["passed"] is True


def test_html_says_the_same_and_is_harmless():
    def softmax(x, dim):
        raise ValueError("<script>alert(1)</script>")

    html = evaluate(SOFTMAX, softmax)._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "expected" in html


def test_unknown_exercise():
    with pytest.raises(ValueError, match="exercise_id: expected one of attention.softmax|got 'x'"):
        evaluate("x", attention.softmax)


def test_a_kernel_that_grades_itself_is_told_so(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with pytest.raises(CheckFailed, match="Not judged"):
        check(
            "probability.greedy_next_token", exercises()["probability.greedy_next_token"].reference
        )
