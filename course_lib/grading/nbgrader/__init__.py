"""What nbgrader's own commands are given to use: `nbgrader_config.py` names it."""
