"""What stands around the code says what is true of it."""

import importlib.metadata
import re
import tomllib

import pytest
import yaml

import course_lib
from course_lib.notebooks import ROOT

FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[0-9]*.yml"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def read(*parts):
    return yaml.safe_load(ROOT.joinpath(*parts).read_text(encoding="utf-8"))


def test_there_is_one_version():
    assert importlib.metadata.version("transformers-by-hand") == course_lib.__version__
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"]["attr"] == "course_lib.__version__"
    assert "version" not in read("CITATION.cff")


def test_the_changelog_has_the_form_that_it_claims():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest, *others = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert newest == "[Unreleased]"
    dates = [re.fullmatch(r"(?:\[[\d.]+\] - )?(\d{4}-\d\d-\d\d)", heading)[1] for heading in others]
    assert dates and dates == sorted(dates, reverse=True)
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_course_can_be_cited():
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0" and citation["authors"]
    assert citation["license"] == PYPROJECT["project"]["license"]
    assert citation["title"].startswith("Transformers by hand")


def test_a_right_answer_called_wrong_is_the_first_form():
    fields = {field.get("id"): field for field in read(FORMS[0])["body"]}
    for name in ("exercise", "report", "solution"):
        assert fields[name]["validations"]["required"]


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_forms_are_what_github_reads(path):
    form = read(path)
    assert form["name"] and form["description"]
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"[\w-]+", one) for one in ids)
    assert {field["type"] for field in form["body"]} <= {"markdown", "input", "textarea"}


def test_hooks_need_no_network():
    hooks = read(".pre-commit-config.yaml")["repos"]
    assert {repository["repo"] for repository in hooks} == {"local"}
    ruff = [hook["entry"] for hook in hooks[0]["hooks"] if "ruff" in hook["id"]]
    assert [entry.split()[1] for entry in ruff] == ["check", "format"]


def test_the_workflow_runs_what_is_there():
    jobs = read(".github", "workflows", "tests.yml")["jobs"]
    assert {job["runs-on"] for job in jobs.values()} == {
        f"{system}-latest" for system in ("ubuntu", "macos", "windows")
    }
    runs = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert "bash .ci/run" in runs and (ROOT / ".ci" / "run").is_file()
    assert "make quick" in runs
    quick = re.search(r"^quick:.*\n\t.*\$\(QUICK\) (.*?) -k", MAKEFILE, re.MULTILINE)[1]
    pytest_ = re.search(r"^QUICK := \$\(BIN\)/(.*)$", MAKEFILE, re.MULTILINE)[1]
    assert f"{pytest_} {quick}" in runs  # on Windows, where there is no make
    for extra in re.findall(r'"\.\[(\w+)\]"', "\n".join(runs)):
        assert extra in PYPROJECT["project"]["optional-dependencies"]
    weights = re.search(r"WEIGHTS := (.*)", MAKEFILE)[1]
    assert any(f"--no-deps --constraint requirements.lock {weights}" in run for run in runs)


def test_help_lists_what_make_can_do():
    listed = re.findall(r"^# make (\w+)", MAKEFILE, re.MULTILINE)
    targets = set(re.search(r"\.PHONY: (.*)", MAKEFILE)[1].split())
    assert len(listed) == len(set(listed)) and set(listed) <= targets
    assert {"lab", "test", "lock", "help"} <= set(listed)
