"""What papers report about scaling, as they print it.

Compared with the text of the papers: Hoffmann et al. (2022; arXiv 2203.15556) and Wu et al. (2023;
arXiv 2303.17564). Compared only with what others quote from the tables: Besiroglu et al. (2024;
arXiv 2404.10102), Brown et al. (2020; arXiv 2005.14165), Touvron et al. (2023; arXiv 2302.13971).
Kaplan et al. (2020) stand as Hoffmann et al. report them. Nothing is corrected here: known
misprints and disagreements are in the comments, and the notebook shows them.
"""

from __future__ import annotations

from typing import NamedTuple

from course_lib.scaling.law import ScalingLaw


class Allocation(NamedTuple):
    """Exponents of N_opt ~ C^a and D_opt ~ C^b, with the interval that the source gives.

    Attributes:
        a, b: the exponents.
        a_interval, b_interval: 10th and 90th percentile, over 100 fits to 80 % of the runs.
        source: paper and table.
    """

    a: float
    b: float
    a_interval: tuple[float, float] | None
    b_interval: tuple[float, float] | None
    source: str


HOFFMANN_TABLE_2 = "Hoffmann et al. 2022, table 2"
ALLOCATIONS = {
    "Kaplan": Allocation(0.73, 0.27, None, None, "Kaplan et al. 2020, as in " + HOFFMANN_TABLE_2),
    "Hoffmann 1: training curves": Allocation(
        0.50, 0.50, (0.488, 0.502), (0.501, 0.512), HOFFMANN_TABLE_2
    ),
    "Hoffmann 2: IsoFLOP": Allocation(0.49, 0.51, (0.462, 0.534), (0.483, 0.529), HOFFMANN_TABLE_2),
    "Hoffmann 3: parametric": Allocation(
        0.46, 0.54, (0.454, 0.455), (0.542, 0.543), HOFFMANN_TABLE_2
    ),
}

LAWS = {
    # appendix D.2, equation 10
    "Hoffmann, as printed": ScalingLaw(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28),
    # the same with more digits, from the paper's TeX source, as Besiroglu et al. (2024) report
    "Hoffmann, TeX source": ScalingLaw(E=1.6934, A=406.4, B=410.7, alpha=0.3392, beta=0.2849),
    # Besiroglu et al. 2024, table 1: the same formula fitted to 240 runs, read off Hoffmann's
    # figure 4 (standard errors: E 0.03, A 124.58, B 1293.23, alpha and beta 0.02)
    "Besiroglu refit": ScalingLaw(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658),
}


class Model(NamedTuple):
    """A trained model: all its parameters, the tokens it was trained on, the FLOPs its paper
    reports (None if it reports none), and where."""

    params: float
    tokens: float
    flops: float | None
    source: str


MODELS = {
    "GPT-3": Model(174.6e9, 300e9, 3.14e23, "Brown et al. 2020, table D.1"),
    # 5.76e23 is the count of Gopher's own paper; by Hoffmann's count it is 6.3e23 (appendix F)
    "Gopher": Model(280e9, 300e9, 5.76e23, "Hoffmann et al. 2022, table 1, figure 2"),
    "Chinchilla": Model(70e9, 1.4e12, 5.76e23, "Hoffmann et al. 2022, table 1, section 4"),
    "LLaMA 7B": Model(6.7e9, 1.0e12, None, "Touvron et al. 2023, table 2"),
    "LLaMA 65B": Model(65.2e9, 1.4e12, None, "Touvron et al. 2023, table 2"),
    "BloombergGPT": Model(50.6e9, 569e9, 2.36e23, "Wu et al. 2023, table 4"),
}

# Hoffmann et al. 2022, table 3: parameters, FLOPs and tokens that approach 1 finds optimal.
HOFFMANN_TABLE_3 = (
    (400e6, 1.92e19, 8.0e9),
    (1e9, 1.21e20, 20.2e9),
    (10e9, 1.23e22, 205.1e9),
    (67e9, 5.76e23, 1.5e12),
    (175e9, 3.85e24, 3.7e12),
    (280e9, 9.90e24, 5.9e12),
    (520e9, 3.43e25, 11.0e12),
    (1e12, 1.27e26, 21.2e12),
    (10e12, 1.30e28, 216.2e12),
)

# The same by approach 3 (table A3). The FLOPs of the fifth row are a misprint for 1.26e25.
HOFFMANN_TABLE_A3 = (
    (400e6, 2.21e19, 9.2e9),
    (1e9, 1.62e20, 27.1e9),
    (10e9, 2.46e22, 410.1e9),
    (67e9, 1.71e24, 4.1e12),
    (175e9, 1.26e24, 12.0e12),
    (280e9, 3.52e25, 20.1e12),
    (520e9, 1.36e26, 43.5e12),
    (1e12, 5.65e26, 94.1e12),
    (10e12, 8.55e28, 1425.5e12),
)

# Two sizes stand in the text of section 3.4 as well, with other numbers than in table 3.
HOFFMANN_SECTION_3_4 = ((175e9, 4.41e24, 4.2e12), (280e9, 1e25, 6.8e12))
