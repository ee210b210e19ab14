"""Scaling: what to do with a compute budget (notebook 10).

N counts non-embedding parameters, D training tokens, C training FLOPs; losses are in nats per
token. A budget is C = 6 N D.
"""

from course_lib.scaling.fitting import (
    fit_parametric,
    law_of,
    middle,
    screened_grid,
    start_grid,
)
from course_lib.scaling.flops import exact_training_flops, training_flops
from course_lib.scaling.law import CONSTANTS, ScalingLaw, compute_optimal, parametric_loss
from course_lib.scaling.minima import Curve, fit_power_law, isoflop_minimum, training_envelope
from course_lib.scaling.minimiser import huber_objective, minimise_huber
from course_lib.scaling.tables import Runs, check_runs, read_runs

__all__ = [
    "CONSTANTS",
    "Curve",
    "Runs",
    "ScalingLaw",
    "check_runs",
    "compute_optimal",
    "exact_training_flops",
    "fit_parametric",
    "fit_power_law",
    "huber_objective",
    "isoflop_minimum",
    "law_of",
    "middle",
    "minimise_huber",
    "parametric_loss",
    "read_runs",
    "screened_grid",
    "start_grid",
    "training_envelope",
    "training_flops",
]
