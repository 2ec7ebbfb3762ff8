"""Take from this process what the system lets a process give up for good.

Linux has three ways that need no privilege: resource limits, Landlock (which files may be opened,
and TCP), and seccomp (which calls of the system there are). None has a function in Python, so their
numbers and structures stand here. Each is used where the kernel has it, and what is not there is
not claimed. Nothing but the standard library is imported.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable, Sequence

if sys.platform != "win32":
    import resource

LIMITS, LANDLOCK, SECCOMP = "resource limits", "Landlock", "seccomp"

_NO_NEW_PRIVILEGES, _SIGNAL_AT_DEATH_OF_PARENT = 38, 1  # options of prctl(2)


def end_with_parent(parent: int) -> None:
    """Let this process not outlive the one that started it, where the system can see to it.

    Args:
        parent: The process that started this one.
    """
    if sys.platform != "linux":
        return
    _libc().prctl(_SIGNAL_AT_DEATH_OF_PARENT, 9, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def confine(memory: int, file_size: int, seconds: int, readable: Iterable[str]) -> list[str]:
    """Give up, for good, all that is not needed to compute and to write into open files.

    Afterwards the process opens no file to write, changes no folder, starts no program, process or
    thread, and has no socket. It goes on reading from, and writing into, what is open.

    Args:
        memory: Bytes that it may use beyond what it uses now.
        file_size: The length in bytes that a file may get by it.
        seconds: Of processor time.
        readable: Folders below which it may go on opening files to read.

    Returns:
        What is in force: some of :data:`LIMITS`, :data:`LANDLOCK`, :data:`SECCOMP`.
    """
    ways = [(LIMITS, _limit(memory, file_size, seconds))]
    if sys.platform == "linux":
        _libc().prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        ways += [(LANDLOCK, _restrict_files(readable)), (SECCOMP, _filter_calls())]
    return [name for name, is_in_force in ways if is_in_force]


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


# --- resource limits ------------------------------------------------------------------------------


def _limit(memory: int, file_size: int, seconds: int) -> bool:
    if sys.platform == "win32":
        return False
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_CPU: seconds + int(sum(os.times()[:2])),
    }
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory
        limits[resource.RLIMIT_NPROC] = 0
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))
    return True


# --- Landlock -------------------------------------------------------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on all processors
_VERSION, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights on files each version of Landlock knows: bits from the lowest on."""
_TCP_SINCE, _TCP_RIGHTS = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11  # abstract Unix sockets and signals


def _restrict_files(readable: Iterable[str]) -> bool:
    call = _libc().syscall
    call.restype = ctypes.c_long
    version = call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))
    if version < 1:
        return False
    rights = (1 << max(n for v, n in _FILE_RIGHTS.items() if v <= version)) - 1
    handled = [rights]
    if version >= _TCP_SINCE:
        handled.append(_TCP_RIGHTS)
    if version >= _SCOPES_SINCE:
        handled.append(_SCOPES)
    attributes = struct.pack(f"={len(handled)}Q", *handled)
    rules = call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if rules < 0:
        return False
    try:
        for folder in readable:
            _allow_reading(call, rules, folder)
        return bool(call(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0)) == 0)
    finally:
        os.close(rules)


def _allow_reading(call: ctypes._NamedFuncPointer, rules: int, path: str) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        allowed = _READ_FILE | (_READ_DIR if os.path.isdir(path) else 0)
        attributes = struct.pack("=Qi", allowed, handle)
        call(_ADD_RULE, ctypes.c_int(rules), _PATH_BENEATH, attributes, ctypes.c_uint32(0))
    finally:
        os.close(handle)


# --- seccomp --------------------------------------------------------------------------------------

_LOAD, _IS, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # of BPF
_NUMBER_AT, _PROCESSOR_AT, _ARGUMENTS_AT = 0, 4, 16  # in struct seccomp_data
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_SET_FILTER, _ALL_THREADS = 1, 1
_OTHER_NUMBERS = 0x40000000  # the calls of x32, which a filter sees under the name of x86-64

_PROCESSORS = {"x86_64": (0xC000003E, 317), "aarch64": (0xC00000B7, 277)}
"""AUDIT_ARCH_…, and the number of seccomp(2)."""

# What computing, reading, writing into open files and ending need: their numbers on x86-64 and on
# ARM64, where not all of them exist.
_CALLS = {
    **{"read": (0, 63), "write": (1, 64), "close": (3, 57), "lseek": (8, 62), "poll": (7, None)},
    **{"pread64": (17, 67), "pwrite64": (18, 68), "readv": (19, 65), "writev": (20, 66)},
    **{"fsync": (74, 82), "ftruncate": (77, 46), "fallocate": (285, 47), "fadvise64": (221, 223)},
    **{"stat": (4, None), "fstat": (5, 80), "lstat": (6, None), "newfstatat": (262, 79)},
    **{"statx": (332, 291), "access": (21, None), "faccessat": (269, 48), "faccessat2": (439, 439)},
    **{"getdents64": (217, 61), "getcwd": (79, 17), "dup": (32, 23)},
    **{"readlink": (89, None), "readlinkat": (267, 78)},
    **{"mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "mremap": (25, 216)},
    **{"brk": (12, 214), "madvise": (28, 233), "mincore": (27, 232), "membarrier": (324, 283)},
    **{"rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139)},
    **{"sigaltstack": (131, 132), "restart_syscall": (219, 128)},
    **{"futex": (202, 98), "set_robust_list": (273, 99), "rseq": (334, 293), "getcpu": (309, 168)},
    **{"sched_yield": (24, 124), "sched_getaffinity": (204, 123), "nanosleep": (35, 101)},
    **{"clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115)},
    **{"time": (201, None), "gettimeofday": (96, 169), "times": (100, 153), "uname": (63, 160)},
    **{"getpid": (39, 172), "gettid": (186, 178), "getuid": (102, 174), "geteuid": (107, 175)},
    **{"getgid": (104, 176), "getegid": (108, 177), "getrlimit": (97, 163)},
    **{"getrusage": (98, 165), "sysinfo": (99, 179), "getrandom": (318, 278)},
    **{"exit": (60, 93), "exit_group": (231, 94)},
}
# Allowed only where nothing is written or made: the number, and which argument holds the flags.
_OPENING = {"open": ((2, 1), None), "openat": ((257, 2), (56, 2))}
_TMPFILE = 0o20000000
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | _TMPFILE


def _filter_calls() -> bool:
    machine = platform.machine()
    if machine not in _PROCESSORS or sys.maxsize < 2**32:
        return False
    audit, seccomp = _PROCESSORS[machine]
    column = list(_PROCESSORS).index(machine)
    program = _program(
        audit,
        [n for numbers in _CALLS.values() if (n := numbers[column]) is not None],
        [o for opening in _OPENING.values() if (o := opening[column]) is not None],
    )
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: the number of instructions, and where they are.
    filter_ = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    call = _libc().syscall
    return bool(call(seccomp, _SET_FILTER, _ALL_THREADS, filter_) == 0)


def _program(audit: int, allowed: Sequence[int], opening: Sequence[tuple[int, int]]) -> bytes:
    """The instructions of the filter, which ends with what is done with a call."""
    steps = [
        (_LOAD, 0, 0, _PROCESSOR_AT),
        (_IS, 1, 0, audit),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _OTHER_NUMBERS),
        (_RETURN, 0, 0, _REFUSE),
    ]
    for number in allowed:
        steps += [(_IS, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for number, argument in opening:
        steps += [
            (_IS, 0, 4, number),
            (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument),
            (_HAS_BITS, 0, 1, _WRITING),
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        ]
    steps.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("HBBI", *step) for step in steps)
