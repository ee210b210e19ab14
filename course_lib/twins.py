"""Twins: what does once more, sooner or more plainly, what another function does. Each is tagged
with whose twin it is, so that grading can refuse it where that function is the exercise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["twin_of", "twins", "with_twins"]

Twin = TypeVar("Twin", bound=Callable[..., Any])

_originals: dict[tuple[str, str], tuple[str, ...]] = {}  # (module, name) of a twin -> whose it is


def twin_of(*originals: str) -> Callable[[Twin], Twin]:
    """Decorator: tag a function or class as a twin.

    Args:
        originals: what it does once more, as "course_lib.attention.softmax". A name, not the
            function: a twin may stand below its original in the order of imports.
    """

    def tag(twin: Twin) -> Twin:
        _originals[twin.__module__, twin.__name__] = originals
        return twin

    return tag


def twins() -> dict[tuple[str, str], tuple[str, ...]]:
    """Module and name of each twin imported so far, and whose twin it is; `import course_lib.fast`
    imports them all."""
    return dict(_originals)


def with_twins(functions: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """These functions, by module and name, and their twins imported so far."""
    names = {f"{module}.{name}" for module, name in functions}
    return functions + [twin for twin, originals in _originals.items() if names & {*originals}]
