"""The name that stands in instructors' `nbgrader_config.py` for `nbgrader/preprocessors.py`."""

from course_lib.grading.nbgrader.preprocessors import Judge, Rebuild

__all__ = ["Judge", "Rebuild"]
