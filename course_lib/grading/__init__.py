"""From submissions to grades, with nbgrader, without trusting what is handed in."""
