"""Real models, loaded once for all tests, a real browser, and annotations that are checked."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from jaxtyping import config, install_import_hook

from course_lib.notebooks import ROOT, skip_web_addresses

skip_web_addresses()

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers is imported anywhere

# The ideas' modules with tensors, imported from here on, can check their annotations at every call
# (the others' are mypy's); but `shapes`, which checks for itself, and needs the sizes that its caller
# has met.
_MODULES = (ROOT / "course_lib").glob("*.py")
_IDEAS = {path.stem for path in _MODULES if "jaxtyping" in path.read_text(encoding="utf-8")}
_IDEAS -= {"shapes"}
install_import_hook(
    [f"course_lib.{idea}" for idea in _IDEAS],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",  # an int is a float
)
config.update("jaxtyping_disable", True)

# A busy machine is no failure.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")


# Left out of `make quick`: what starts kernels, servers, browsers or sandboxes, or trains.
_SLOW = {
    "authoring", "cli", "experiments", "grading", "journeys", "notebooks", "plots", "pretrained",
    "workspace", "test_around", "test_book", "test_docs", "test_packaging", "test_readme",
    "test_release", "test_server", "test_training",
}  # fmt: skip


def pytest_collection_modifyitems(items):
    """A test is marked by where it lies: with its folder, and `slow`."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            place = item.path.relative_to(here).parts[0].removesuffix(".py")
            if (here / place).is_dir():
                item.add_marker(place)
            if place in _SLOW:
                item.add_marker("slow")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Annotations are checked in the ideas' own tests; but a test that expects an error hands in
    what they forbid, to see what the idea itself says."""
    is_idea = item.path.parent == Path(__file__).parent and item.path.stem[5:] in _IDEAS
    breaks_them = is_idea and (
        "pytest.raises" in inspect.getsource(item.function) or item.get_closest_marker("duck_typed")
    )
    config.update("jaxtyping_disable", bool(not is_idea or breaks_them))
    try:
        return (yield)
    finally:
        config.update("jaxtyping_disable", True)


@pytest.fixture(scope="session")
def clone_into():
    """A function that fills a folder with what git would give a new learner: the files of this
    working tree that it does not ignore."""

    def clone_into(folder):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if listed.returncode:
            pytest.skip("this is not a clone of the course")
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        return folder

    return clone_into


@pytest.fixture(scope="session")
def smollm2():
    """(model, tokenizer); shared, so leave the weights as they are."""
    from course_lib.pretrained import load_smollm2

    return load_smollm2()


@pytest.fixture(scope="session")
def minilm():
    """(model, tokenizer); shared, so leave the weights as they are."""
    from course_lib.pretrained import load_minilm

    return load_minilm()


@pytest.fixture(scope="session")
def characters() -> list[str]:
    """Every character, but of those that mean nothing (not assigned, or private) one in a hundred."""
    every = (chr(i) for i in range(sys.maxunicode + 1) if not 0xD800 <= i < 0xE000)
    return [c for c in every if unicodedata.category(c) not in ("Cn", "Co") or ord(c) % 100 == 0]


@pytest.fixture(scope="session")
def varied_text() -> str:
    """About a page of everything that a tokenizer may meet."""
    return """\
The Quick brown fox didn't jump; it'll jump again, they've said. I'M SURE YOU'RE RIGHT!
Numbers: 7, 42, 1234567, 3.14159, 1e-12, 2024-11-21, 1,000,000 and ½, ², Ⅳ, ٣٤٥, 一二三.
Café naïve Ünïcödé ĀĂĄ ǅ ß ﬁ İstanbul São Tomé, Łódź, Ελληνικά, Русский, עברית, العربية, हिन्दी.
日本語のテキスト、中文字符，한국어 텍스트; ภาษาไทย ไม่มีช่องว่าง.
Emoji: 🙂 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️ ☃ 🤖🤖🤖
def f(x: int) -> dict[str, float]:\n\treturn {"a": x ** 2, 'b': ~x & 0xFF}  # comment\t\ttabs
   leading blanks,  double  blanks,   trailing   \n\n\n\r\nline ends\r\n
https://example.org/path?query=1&other=%20#part  user.name+tag@example.org  C:\\Users\\me
antidisestablishmentarianism Donaudampfschifffahrtsgesellschaft unhappiness ##ing [not special]
"Quotes" 'single' “curly” ‘curly’ «guillemets» — dash – en … ellipsis ¡Hola! ¿Qué? €5 £6 ¥7 $8 §9
zero\u200bwidth non\u00a0breaking \u3000 ideographic soft\u00adhyphen combining e\u0301 a\u0308
"""


# Without a network of its own: no updates, no reports, no synchronisation.
_QUIET = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run"]
_QUIET += ["disable-background-networking", "disable-component-update", "disable-sync"]


@pytest.fixture(scope="module")
def browser():
    """Chromium as Debian packages it, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed (Debian: chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=[f"--{option}" for option in _QUIET]
        )
        yield browser
        browser.close()
