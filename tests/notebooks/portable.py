"""Do the notebooks say the same on another processor? (make test-notebooks-portable)

Executes every notebook under settings that make torch add in another order, as another processor
would, and compares each cell's text with the stored one. Prints the figures of each setting.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
IGNORED = "nbval-ignore-output"  # the text is a measurement: executed, not compared

_WITHOUT_AVX = {
    "ATEN_CPU_CAPABILITY": "default",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
}
_AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "DNNL_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
}
SETTINGS = {
    "as it is, two threads": {"OMP_NUM_THREADS": "2"},
    "without AVX, one thread": {**_WITHOUT_AVX, "OMP_NUM_THREADS": "1"},
    "without AVX, two threads": {**_WITHOUT_AVX, "OMP_NUM_THREADS": "2"},
    "AVX2, MKL's compatible sums, one thread": {**_AVX2, "OMP_NUM_THREADS": "1"},
}


def run(path: Path, setting: dict[str, str]) -> tuple[int, list[str]]:
    """Execute a notebook under a setting: (cells compared, the cells that differ)."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    compared = sum(IGNORED not in cell.metadata.get("tags", []) for cell in cells)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", path, "--nbval", "-qq", f"--junitxml={report}"]
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider"],
            env=os.environ | setting | {"OMP_WAIT_POLICY": "passive"},  # others may be at work
            stdout=subprocess.PIPE,
            text=True,
        )
        if not report.exists():
            raise RuntimeError(f"{path.name} could not be executed:\n{done.stdout}")
        results = ElementTree.parse(report).getroot().iter("testcase")
        differing = [f"{path.stem}, {r.get('name')}" for r in results if len(r)]
    if differing:
        print(done.stdout)
    return compared, differing


def main(names: list[str]) -> int:
    """The notebooks named, or all, under every setting; 1 where a cell differs."""
    paths = [NOTEBOOKS / name / f"{name}.ipynb" for name in names]
    paths = paths or sorted(NOTEBOOKS.glob("*/*.ipynb"))
    any_differs = False
    for name, setting in SETTINGS.items():
        compared, differing = 0, []
        for path in paths:
            n_cells, differ = run(path, setting)
            print(f"{name}: {path.stem}: {n_cells} compared, {len(differ)} differ", flush=True)
            compared += n_cells
            differing += differ
        print(f"{name}: all: {compared} cells compared, {len(differing)} differ", flush=True)
        for cell in differing:
            print(f"    {cell}")
        any_differs = any_differs or bool(differing)
    return int(any_differs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
