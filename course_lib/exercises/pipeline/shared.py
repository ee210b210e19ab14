"""What several exercises of `pipeline` share."""

from __future__ import annotations

from course_lib.checks.exercise import Case, refuses

WORDS = "a bread boats seventeen lamp moonlight unhappiness the kettle 1984 zwölf".split()


def refuses_by(about, arguments, naming, way):
    """`refuses` where a solution is not just called: `way(solution, *arguments)` tries it."""
    door = refuses(about, arguments, naming)

    def observe(solution, *arguments):
        return door.observe(lambda *_: way(solution, *arguments))

    return Case(about, arguments, observe, edge=True)
