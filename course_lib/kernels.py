"""A kernel's manager for nbclient that hears every reply.

A widget in a cell makes nbclient send on the channel on which it waits for the cell's reply. ZeroMQ
tells of a message once; if the send takes that notice, the waiting client sleeps on until its
timeout, kernel and client both idle (`tests/test_kernels.py` makes it happen). So the wait is cut
into slices, each of which looks for itself.
"""

from __future__ import annotations

import math
from queue import Empty
from time import monotonic
from typing import Any

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.manager import AsyncKernelManager
from traitlets import Type

_SLICE = 1.0  # seconds that a missed notice costs at most


class ListeningChannel(AsyncZMQSocketChannel):
    """A channel on which a send cannot make a waiting reader miss its message."""

    async def get_msg(  # type: ignore[override]  # as the class above
        self, timeout: float | None = None
    ) -> dict[str, Any]:
        """The next message.

        Args:
            timeout: seconds to wait for it; None waits without end.

        Raises:
            Empty: none came in time.
        """
        end = math.inf if timeout is None else monotonic() + timeout
        while True:
            try:
                return await super().get_msg(timeout=max(0.0, min(_SLICE, end - monotonic())))
            except Empty:
                if monotonic() >= end:
                    raise


class ListeningClient(AsyncKernelClient):
    """A kernel's client whose shell channel listens."""

    shell_channel_class = Type(ListeningChannel)


class ListeningManager(AsyncKernelManager):
    """A kernel's manager whose clients listen."""

    client_factory = Type(ListeningClient, klass=AsyncKernelClient)
