"""A learner's copies of the notebooks: start, check, reset, and how far they are."""
