"""A reference is shown for its price, which is asked and noted, and never while grading."""

import pytest

from course_lib.checks import check, progress, show_reference
from course_lib.grading.single import Mark, counted
from course_lib.workspace.standing import standing

ID = "probability.greedy_next_token"
BODY = "argmax()"  # in the reference


def greedy_next_token(logits):
    return int(logits.argmax())


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_PROGRESS", raising=False)
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    (tmp_path / ".course").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_first_call_says_the_price_and_shows_nothing(workspace, capsys):
    show_reference(ID)
    said = capsys.readouterr().out
    assert "counts 0" in said and f'show_reference("{ID}", give_up_points=True)' in said
    assert BODY not in said and "def " not in said
    assert not progress.progress_file().exists()


def test_the_second_shows_it_with_its_docstring_and_it_counts_nothing_from_then_on(
    workspace, capsys
):
    show_reference(ID, give_up_points=True)
    said = capsys.readouterr().out
    assert "def greedy_next_token" in said and BODY in said and '"""' in said
    show_reference(ID)  # paid for: again without asking
    assert BODY in capsys.readouterr().out

    check(ID, greedy_next_token)
    said = capsys.readouterr().out
    assert "right on all" in said and "you have seen its reference" in said
    assert "(0 of " in said
    mine = {one.exercise: one for one in standing(workspace)}[ID]
    assert mine.passed and mine.reference_seen and mine.points == 0 and mine.attempts == 1
    assert mine.state == "right, reference seen"

    seen = progress.references_seen(progress.progress_file())
    marks = [Mark(ID, 2.0, 2.0), Mark("other", 2.0, 2.0)]
    assert counted(marks, seen) == [Mark(ID, 0.0, 2.0, progress.REFERENCE_SEEN), marks[1]]


def test_a_reference_bought_later_counts_too(workspace):
    check(ID, greedy_next_token)
    mine = {one.exercise: one for one in standing(workspace)}
    assert mine[ID].points == mine[ID].max_points
    show_reference(ID, give_up_points=True)
    assert {one.exercise: one.points for one in standing(workspace)}[ID] == 0


@pytest.mark.parametrize("execution", ["autograde", "validate"])
def test_nothing_is_shown_while_a_notebook_is_graded(workspace, monkeypatch, capsys, execution):
    monkeypatch.setenv("NBGRADER_EXECUTION", execution)
    show_reference(ID, give_up_points=True)
    assert BODY not in capsys.readouterr().out
    assert not progress.progress_file().exists()


def test_nothing_is_shown_in_the_sandbox():
    from course_lib.grading.sandbox.launcher import shared_sandbox, strongest_level

    for level in {strongest_level(), "unsafe"}:
        with shared_sandbox(level).session() as session:
            session.ask("begin", references=[])
            source = (
                "from course_lib.checks import show_reference\n"
                f"show_reference('{ID}', give_up_points=True)"
            )
            answer = session.ask("run", source=source, seconds=120)
        assert answer["error"] is None and "shows nothing" in answer["printed"]


def test_an_unknown_exercise_is_an_error(workspace):
    with pytest.raises(ValueError, match="expected one of"):
        show_reference("attention.nothing", give_up_points=True)


def test_what_a_crash_or_somebody_else_left_in_the_file_is_skipped(workspace):
    show_reference(ID, give_up_points=True)
    path = progress.progress_file()
    with path.open("ab") as file:
        file.write(b'3\n{"other": 1}\n\xff\n{"exercise": "attention.so')
    assert progress.references_seen(path) == {ID}
    assert list(progress.read(path)) == []


def test_the_command_says_it_too_and_changes_no_file(workspace, monkeypatch):
    from course_lib.workspace.check import check_notebook
    from course_lib.workspace.start import start

    paths = [path for path, _ in start(workspace)]
    before = [path.read_bytes() for path in paths]
    show_reference(ID, give_up_points=True)
    log = progress.progress_file().read_bytes()
    said = {one.exercise: one for one in check_notebook("00", workspace)[0]}
    assert progress.REFERENCE_SEEN in said[ID].headline and said[ID].points == 0
    assert progress.REFERENCE_SEEN not in said["probability.autocomplete_bigram"].headline
    assert "not written yet" in said["probability.autocomplete_bigram"].headline
    assert not any(written for _, written in start(workspace))
    assert [path.read_bytes() for path in paths] == before
    assert progress.progress_file().read_bytes() == log


def test_the_reference_of_an_instructors_own_exercise(workspace, capsys):
    (workspace / "exercises.py").write_text(
        "from course_lib.checks import Case, Exercise\n"
        'double = Exercise("own.double", points=2, reference=lambda x: 2 * x)\n'
        "@double.cases\n"
        "def _(draw):\n"
        '    yield Case("one", {"x": 1})\n'
    )
    show_reference("own.double", give_up_points=True)
    assert "lambda x: 2 * x" in capsys.readouterr().out
    check("own.double", lambda x: x + x)
    assert progress.REFERENCE_SEEN in capsys.readouterr().out
