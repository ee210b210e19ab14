"""Read GGUF, the file format of llama.cpp: one file with weights, sizes and tokenizer.

The weights are quantised, in blocks of 32 that share a scale; the `gguf` package turns them back
into floats. (Format: the GGUF specification in the ggml repository, docs/gguf.md.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["GGUFFile", "undo_rope_permutation"]


class _Reader(gguf.GGUFReader):
    """The reader of the `gguf` package, over a plain array instead of a `memmap`.

    It slices the file once per token of the vocabulary, and a memmap's slices are slow: reading
    takes a third of the time this way.
    """

    @property  # type: ignore[override]  # an array that is no memmap
    def data(self) -> np.ndarray:
        return self._data

    @data.setter
    def data(self, file: np.memmap) -> None:
        self._data = file.view(np.ndarray)


class GGUFFile:
    """An open GGUF file.

    Attributes:
        path: where it lies.
        metadata: sizes, tokenizer and more, by the names that the format gives them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a GGUF file, or not a whole one; its numbers are in the other byte
            order; its tensors do not lie one after the other.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            reader = _Reader(self.path)
            self.metadata: dict[str, Any] = {
                name: field.contents() for name, field in reader.fields.items()
            }
        except (ValueError, IndexError, KeyError, OverflowError) as error:
            size = self.path.stat().st_size
            raise ValueError(
                f"{self.path} ({size:,} bytes) is not a GGUF file, or is cut off: {error}"
            ) from error
        self._tensors = reader.tensors
        if reader.endianess is not gguf.GGUFEndian.LITTLE:
            raise ValueError(
                f"{self.path} is big-endian; gguf-convert-endian makes it little-endian"
            )
        self._check_places(reader)

    def _check_places(self, reader: gguf.GGUFReader) -> None:
        """Tensors lie one after the other, each from a multiple of the alignment on, as llama.cpp
        wants it; a type or a size that was changed afterwards does not fit in."""
        expected, alignment = 0, int(reader.alignment)
        for tensor in sorted(self._tensors, key=lambda tensor: tensor.data_offset):
            offset = int(tensor.data_offset) - int(reader.data_offset)
            if offset != expected:
                raise ValueError(
                    f"{self.path}: {tensor.name} must begin at {expected:,} of the tensors' bytes, "
                    f"got {offset:,}"
                )
            expected += -(-int(tensor.n_bytes) // alignment) * alignment

    def get(self, key: str, default: Any) -> Any:
        """One entry of the metadata, or the default if the file lacks it."""
        return self.metadata.get(key, default)

    def __getitem__(self, key: str) -> Any:
        """One entry of the metadata; a `ValueError` if the file lacks it."""
        if key not in self.metadata:
            raise ValueError(f"{self.path} has no {key!r}")
        return self.metadata[key]

    def tensors(self) -> dict[str, Float[Tensor, "*shape"]]:
        """All weights by name, float32, [out, in] like those of `nn.Linear`.

        Raises:
            ValueError: a tensor has a type that the `gguf` package cannot turn into floats.
        """
        return {tensor.name: self._floats(tensor) for tensor in self._tensors}

    def _floats(self, tensor: gguf.ReaderTensor) -> Float[Tensor, "*shape"]:
        try:
            floats = gguf.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            kind = tensor.tensor_type.name
            raise ValueError(f"{self.path}: {tensor.name} has the type {kind}: {error}") from error
        # plain float32 comes as a view of the file, which nobody may write to: copy that
        return torch.from_numpy(np.require(floats, requirements="W"))


def undo_rope_permutation(
    weight: Float[Tensor, "out *in"], n_heads: int
) -> Float[Tensor, "out *in"]:
    """Put the rows of a query or key projection back in the order of rotate-halves RoPE.

    llama.cpp turns neighbours (2i, 2i + 1) where `apply_rope` turns (i, i + d_k/2), so its
    converter interleaves the two halves of each head, of biases too; this undoes it.
    """
    pairs = weight.unflatten(0, (n_heads, -1, 2))  # [heads, pair, half, width]
    return pairs.transpose(1, 2).reshape(weight.shape)
