"""Real models, loaded once for all tests, and a real browser."""

from __future__ import annotations

import os
import shutil

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers is imported anywhere


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
