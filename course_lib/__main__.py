"""`python -m course_lib` is the `course` command, where that is not on the path."""

from course_lib.cli import main

main()
