"""What really holds on this machine: try to get out of the sandbox, and see."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from course_lib.grading.sandbox import policy
from course_lib.grading.sandbox.launcher import Sandbox
from course_lib.grading.sandbox.policy import Level

# Each attempt runs in a session and says True if it got what it must not get.
_ATTEMPTS = {
    "read a file of the grader": "found = open({secret!r}).read() == 'secret'",
    "read what an exercise demands": (
        "import course_lib, os\n"
        "places = [os.path.dirname(course_lib.__file__) + '/exercises', *{exercises!r}]\n"
        "found = any(files for place in places for _, _, files in os.walk(place))"
    ),
    "read the instructor's notebooks": (
        "import os\nfound = any(files for place in {notebooks!r} for _, _, files in os.walk(place))"
    ),
    "write a file of the grader": "open({secret!r}, 'a').write('x')\nfound = True",
    "write into the course's package": (
        "import course_lib, os\n"
        "course = os.path.dirname(course_lib.__file__)\n"
        "found = any(os.access(place, os.W_OK) for place, _, _ in os.walk(course))"
    ),
    "see other processes": (
        "import os\nfound = any(name.isdigit() and int(name) != os.getpid()"
        " for name in os.listdir('/proc'))"
    ),
    "signal the grader": "import os\nos.kill({pid}, 0)\nfound = True",
    "reach a server on this machine": (
        "import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)\nfound = True"
    ),
    "be root": "import os\nfound = os.getuid() == 0",
    "gain privileges": (
        "import re\nfound = bool(int(re.search('CapEff:\\\\s*(\\\\w+)',"
        " open('/proc/self/status').read())[1], 16))"
    ),
}


def self_test(level: Level) -> dict[str, bool]:
    """Try to get out: for each attempt, whether the sandbox held.

    Raises:
        SandboxUnavailable: this level does not work here.
    """
    held = {}
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as server:
        secret = Path(folder) / "gradebook.db"
        facts = {
            "secret": str(secret),
            "exercises": [str(place) for place in policy.hidden_exercises()],
            "notebooks": [str(place) for place in policy.hidden_notebooks()],
            "pid": os.getpid(),
            "port": server.getsockname()[1],
        }
        with Sandbox(level) as sandbox:
            for attempt, code in _ATTEMPTS.items():
                secret.write_text("secret")
                with sandbox.session() as session:
                    session.ask("run", source=code.format(**facts), seconds=5)
                    try:
                        held[attempt] = session.ask("lookup", name="found") is False
                    except KeyError:  # it stopped with an error before it found anything
                        held[attempt] = True
    return held
