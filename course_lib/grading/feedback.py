"""The name that stands in instructors' `nbgrader_config.py` for `nbgrader/feedback.py`."""

from course_lib.grading.nbgrader.feedback import FeedbackPage

__all__ = ["FeedbackPage"]
