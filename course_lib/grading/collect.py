"""The name that stands in instructors' `nbgrader_config.py` for `nbgrader/collect.py`."""

from course_lib.grading.nbgrader.collect import Collect

__all__ = ["Collect"]
