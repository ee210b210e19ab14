"""Review: quizzes after the notebooks, and flashcards that come back when they are due.

from course_lib.review import quiz, review
"""

from course_lib.review.page import quiz, review

__all__ = ["quiz", "review"]
