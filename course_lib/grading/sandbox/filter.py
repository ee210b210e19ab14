"""A seccomp filter: system calls that take memory which no limit of a process counts are refused.

What lies in a memfd or in System V shared memory belongs to no process's address space, so neither
`RLIMIT_AS` nor a look at the session's processes sees it. Source: man seccomp(2).
"""

from __future__ import annotations

import ctypes
import errno
import platform

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # instructions of classic BPF
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_X32 = 0x40000000  # numbers from here on are another way to call the same
_CALLS = {  # architecture: its number, and those of memfd_create, memfd_secret, shmget
    "x86_64": (0xC000003E, (319, 447, 29)),
    "aarch64": (0xC00000B7, (279, 447, 194)),
}


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("if_so", ctypes.c_uint8),
        ("if_not", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    ]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("code", ctypes.POINTER(_Instruction))]


def refuse_uncounted_memory() -> None:
    """From now on, in this process and all that it starts; needs `no_new_privs`.

    Raises:
        OSError: the kernel does not take the filter.
    """
    if platform.machine() not in _CALLS:
        return
    architecture, calls = _CALLS[platform.machine()]
    # (what to do, number, how many of the rest to jump over if so and if not)
    steps = [(_LOAD, 4, 0, 0), (_EQUAL, architecture, 0, len(calls) + 3), (_LOAD, 0, 0, 0)]
    steps += [(_AT_LEAST, _X32, len(calls) + 1, 0)]
    steps += [(_EQUAL, call, len(calls) - i, 0) for i, call in enumerate(calls)]
    steps += [(_RETURN, _ALLOW, 0, 0), (_RETURN, _REFUSE, 0, 0)]
    code = (_Instruction * len(steps))(
        *(_Instruction(do, if_so, if_not, operand) for do, operand, if_so, if_not in steps)
    )
    program = _Program(len(steps), code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
