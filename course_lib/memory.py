"""How much memory a computation takes: every tensor counted, byte by byte."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["PeakMemory", "tensors_in"]


class PeakMemory(TorchDispatchMode):
    """Count the bytes of the tensors made inside a `with` block, from birth to end.

    Exact and the same on every machine, since it asks torch what each operation returns, not the
    system what the process holds. What an operation needs only inside itself is not seen. Counts
    the thread that entered the block.

    Example:
        >>> with PeakMemory() as memory:
        ...     _ = torch.ones(10).exp().sum()
        >>> memory.peak  # the ones and their exp, 40 bytes each
        80

    Attributes:
        live: bytes of the tensors that are alive now and were made inside.
        peak: the most that `live` has been.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """torch asks, to shield the mode from its compiler. Nothing here is compiled, and "no"
        spares the import of that compiler, which takes seconds."""
        return False

    def __torch_dispatch__(
        self,
        operation: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        for tensor in tensors_in((args, kwargs)):
            self._known.add(tensor.untyped_storage())  # made outside, or counted already
        result = operation(*args, **kwargs)
        for tensor in tensors_in(result):
            storage = tensor.untyped_storage()
            if storage not in self._known:  # a view shares what it looks at
                self._known.add(storage)
                self.live += storage.nbytes()
                weakref.finalize(storage, self._free, storage.nbytes())
        self.peak = max(self.peak, self.live)
        return result

    def _free(self, size: int) -> None:
        self.live -= size


def tensors_in(tree: Any) -> list[Tensor]:
    """The tensors in lists, tuples and dicts, in order."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
