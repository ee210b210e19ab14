"""What the models eat: texts and worlds, all made or found offline.

- `course_lib.data.storyland`: a small written world whose every probability is known exactly.
- `course_lib.data.python_reference`: the language reference that comes inside every CPython.
"""
