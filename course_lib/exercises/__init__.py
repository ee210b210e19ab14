"""What each exercise demands: `exercises/IDEA/EXERCISE.py`, one file an exercise."""
