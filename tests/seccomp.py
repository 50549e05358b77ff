"""System calls refused to this process and its children, as some container runtimes do.

For x86_64 and aarch64, on which the newer system calls have the same number.
"""

from __future__ import annotations

import ctypes
import errno
import platform

__all__ = ["KNOWN_MACHINE", "refuse_ioctl", "refuse_parent_death_signals", "refuse_pidfd_open"]

PIDFD_OPEN = 434
IOCTL = {"x86_64": 16, "aarch64": 29}
PRCTL = {"x86_64": 157, "aarch64": 167}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
OFFSET_OF_NUMBER, OFFSET_OF_ARCH, OFFSET_OF_FIRST_ARGUMENT, OFFSET_OF_SECOND_ARGUMENT = 0, 4, 16, 24
ALLOW, FAIL_WITH = 0x7FFF0000, 0x00050000

PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 1, 2
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
PR_SET_NO_NEW_PRIVS = 38

KNOWN_MACHINE = platform.machine() in AUDIT_ARCH


class Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("if_true", ctypes.c_uint8),
        ("if_false", ctypes.c_uint8),
        ("operand", ctypes.c_uint32),
    ]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(Instruction))]


def refuse_pidfd_open() -> None:
    """Has pidfd_open(2) fail with EPERM."""
    _refuse([(OFFSET_OF_NUMBER, PIDFD_OPEN)], errno.EPERM)


def refuse_parent_death_signals() -> None:
    """Has prctl(2) fail with EINVAL where it asks for or sets the signal that comes at a parent's death."""
    number = PRCTL[platform.machine()]
    for option in (PR_SET_PDEATHSIG, PR_GET_PDEATHSIG):
        _refuse([(OFFSET_OF_NUMBER, number), (OFFSET_OF_FIRST_ARGUMENT, option)], errno.EINVAL)


def refuse_ioctl(request: int) -> None:
    """Has ioctl(2) fail with ENOTTY for one request, as a system does that does not know it."""
    number = IOCTL[platform.machine()]
    _refuse([(OFFSET_OF_NUMBER, number), (OFFSET_OF_SECOND_ARGUMENT, request)], errno.ENOTTY)


def _refuse(where: list[tuple[int, int]], error: int) -> None:
    """Refuses the calls that have, at each offset in struct seccomp_data, the word given."""
    conditions = [(OFFSET_OF_ARCH, AUDIT_ARCH[platform.machine()]), *where]
    filter_: list[tuple[int, int, int, int]] = []
    for index, (offset, word) in enumerate(conditions):
        # Jumps count the instructions that are passed over: the rest of the conditions, and the refusal.
        rest = 2 * (len(conditions) - 1 - index) + 1
        filter_ += [(LOAD_WORD, 0, 0, offset), (JUMP_IF_EQUAL, 0, rest, word)]
    filter_ += [(RETURN, 0, 0, FAIL_WITH | error), (RETURN, 0, 0, ALLOW)]
    instructions = (Instruction * len(filter_))(*filter_)
    program = Program(len(filter_), instructions)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 4
    for arguments in (
        (PR_SET_NO_NEW_PRIVS, 1, None, None, None),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program), None, None),
    ):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"prctl{arguments}")
