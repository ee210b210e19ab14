"""From the instructor's notebooks to the learner's copies, and from submissions to grades."""
