"""How a judging process begins; light, for it is imported before all that judging needs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait

from course_lib.notebooks import skip_web_addresses


def begin() -> None:
    """A worker whose parent was killed would wait for work for ever; Ctrl-C is the parent's."""
    skip_web_addresses()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
