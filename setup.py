"""What an installation that is no clone needs beside the package; pyproject.toml says the rest."""

from glob import glob
from pathlib import Path

from setuptools import setup

SHARE = "share/transformers-by-hand"

# here, as pyproject.toml has no way to say "each notebook in its own folder" once for all
notebooks = [(f"{SHARE}/{Path(path).parent}", [path]) for path in glob("notebooks/*/*.ipynb")]
setup(data_files=[(SHARE, ["nbgrader_config.py"]), *notebooks])
