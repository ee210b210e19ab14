"""Points nbgrader's own commands at this course. Run them in this folder."""

import os
import sys

# nbgrader calls `alembic` by name, which stands beside its Python even when that is not activated.
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")

c = get_config()  # nbgrader provides it

c.CourseDirectory.course_id = "transformers"
c.CourseDirectory.source_directory = "notebooks"
c.CourseDirectory.ignore.append("[0-9][0-9]_*.py")  # the notebooks' texts hold the solutions
c.ClearSolutions.code_stub = {"python": "# your code here\nraise NotImplementedError"}

# Cells that train or draw are not run.
c.Execute.skip_cells_with_tag = "experiment"
c.Execute.timeout = 120

# Submissions are read as `course grade` reads them: names, byte order marks, sizes, refusals.
c.Autograde.exporter_class = "course_lib.grading.nbgrader.autograde.Submission"

# Submissions run in a sandbox, their check cells outside of it. Named as text: if one of them
# cannot be imported, grading stops, and never falls back to trusting a submission's kernel.
c.Autograde.sanitize_preprocessors = [
    "course_lib.grading.preprocessors.Rebuild",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.DeduplicateIds",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.autograde_preprocessors = [
    "course_lib.grading.preprocessors.Judge",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# Learners' folders in the exchange are copied without links, under their owners' names.
c.ExchangeFactory.collect = "course_lib.grading.collect.Collect"

# Feedback that reads the same without a network.
c.GenerateFeedback.exporter_class = "course_lib.grading.feedback.FeedbackPage"
