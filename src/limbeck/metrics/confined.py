"""What runs inside the subprocess of `confine`: close every door, then run the program. Standard library only, no limbeck.

    python -I -B confined.py <fd of the verdict>        the job as JSON on stdin

Doors, and who closes them: processor time, memory, size of files and open files (resource limits, any
Unix); files outside the working folder (Landlock, Linux 5.13 and later); sockets, new processes also for root, signals to
others (a seccomp filter, Linux on x86-64 and ARM64). What this machine cannot close is said in the first line of the verdict;
the second line says how the program ended, with the password of the job."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import struct
import sys
from pathlib import Path
from typing import Any

ALLOW, REFUSE, NO_SUCH_CALL, KILL = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38, 0x80000000  # SECCOMP_RET_*, errno in the low bits
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF operations on 32-bit words
CALL_NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
CLONE_THREAD = 0x10000

AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*
# call -> its number on x86-64 and on ARM64 (0: it has none); linux arch/x86/entry/syscalls/syscall_64.tbl, asm-generic/unistd.h
WATCHED = {"clone": (56, 220), "clone3": (435, 435), "kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}
REFUSED = {
    # new processes and programs
    "fork": (57, 0), "vfork": (58, 0), "execve": (59, 221), "execveat": (322, 281), "unshare": (272, 97), "setns": (308, 268),
    # other processes
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424), "setpriority": (141, 140),
    # network, and a second way to nearly every call
    "socket": (41, 198), "io_uring_setup": (425, 425), "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241),
    # what outlives a process
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # owners and rights of files, which Landlock leaves alone
    "chmod": (90, 0), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, 0), "fchown": (93, 55),
    "lchown": (94, 0), "fchownat": (260, 54), "utime": (132, 0), "utimes": (235, 0), "futimesat": (261, 0), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15),
    "fremovexattr": (199, 16), "mount": (165, 40), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
}  # fmt: skip

EXECUTE, WRITE, READ, LIST = 1, 2, 4, 8  # LANDLOCK_ACCESS_FS_*; 13 of them in ABI 1, one more in each of 2, 3 and 5
READABLE = ("/usr", "/lib", "/lib64", "/bin", "/dev/null", "/dev/zero", "/dev/urandom", "/etc/localtime", "/etc/ld.so.cache")


def limit(job: dict[str, Any]) -> list[str]:
    """The limits that this machine knows; none of them can be raised again."""
    seconds, memory, file = int(job["cpu_s"]), int(job["memory_mb"]) << 20, int(job["file_mb"]) << 20
    wanted = {"CPU": seconds, "AS": memory, "FSIZE": file, "NOFILE": 64, "CORE": 0}
    names = {"CPU": "processor time", "AS": "memory", "FSIZE": "file size"}
    return [names.get(name, name.lower()) for name, value in wanted.items() if not limited(name, value)]


def limited(name: str, value: int) -> bool:
    try:
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    except (AttributeError, ValueError, OSError):
        return False
    return True


def close_files(libc: Any, folder: str) -> bool:
    """Landlock: writing below `folder` alone, reading there and where Python and the system's libraries lie."""
    abi = libc.syscall(444, None, 0, 1)
    if abi < 1:
        return False
    every = (1 << (13 + (abi >= 2) + (abi >= 3) + (abi >= 5))) - 1
    handled = struct.pack("=QQQ", every, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    rules = libc.syscall(444, handled, len(handled), 0)
    if rules < 0:
        return False
    allowed = {
        folder: every,
        **dict.fromkeys((*READABLE, sys.prefix, sys.base_prefix, *filter(os.path.isdir, sys.path)), READ | LIST | EXECUTE),
    }
    for path, access in allowed.items():
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        rule = struct.pack("=Qi", access if os.path.isdir(path) else READ | WRITE if path == "/dev/null" else READ, place)
        if libc.syscall(445, rules, 1, rule, 0):
            return False
        os.close(place)
    return bool(libc.syscall(446, rules, 0) == 0)


def close_calls(libc: Any) -> bool:
    """seccomp: threads may be started, processes, programs and sockets may not; signals to itself alone."""
    machine = platform.machine()
    if machine not in AUDIT:
        return False
    column = list(AUDIT).index(machine)
    code = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, AUDIT[machine]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, CALL_NUMBER)]
    if machine == "x86_64":
        code += [(AT_LEAST, 0, 1, 0x40000000), (RETURN, 0, 0, KILL)]  # the same calls once more, under other numbers
    numbers = {name: both[column] for name, both in WATCHED.items()}
    code += [(EQUAL, 0, 1, numbers["clone3"]), (RETURN, 0, 0, NO_SUCH_CALL)]  # then the C library takes clone, whose flags can be read
    me = os.getpid()
    for call, test, value in (("clone", ANY_BIT, CLONE_THREAD), ("kill", EQUAL, me), ("tgkill", EQUAL, me), ("prlimit64", EQUAL, 0)):
        code += [
            (EQUAL, 0, 4, numbers[call]),
            (LOAD, 0, 0, FIRST_ARGUMENT),
            (test, 1, 0, value),
            (RETURN, 0, 0, REFUSE),
            (RETURN, 0, 0, ALLOW),
        ]
    for number in filter(None, (both[column] for both in REFUSED.values())):
        code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE)]
    code.append((RETURN, 0, 0, ALLOW))
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(packed))
    return bool(libc.prctl(22, 2, program, 0, 0) == 0)  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def drop_rights(libc: Any) -> bool:
    """What root may more than others (capabilities), for good: without rights, none can be taken back."""
    header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)  # _LINUX_CAPABILITY_VERSION_3, this process
    return bool(libc.capset(header, nothing) == 0)


def close_doors(job: dict[str, Any]) -> list[str]:
    """What is left open."""
    left = limit(job)
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    sealed = libc is not None and libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS, which both of the following ask for
    if sealed and not drop_rights(libc):
        left.append("rights of root")
    if not (sealed and close_files(libc, job["folder"])):
        left.append("files")
    if not (sealed and close_calls(libc)):
        left.append("network")
        if os.geteuid() == 0 or not limited("NPROC", 0):  # threads go with it; root has no such limit
            left.append("new processes")
    return left


def run(job: dict[str, Any]) -> str:
    """done | exit (by sys.exit, with 0) | error. The first of `programs` that compiles is the one that runs."""
    program = None
    for text in job["programs"]:
        try:
            program = compile(text + "\n" + job["tests"], "<answer>", "exec")
            break
        except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError):
            continue
    if program is None:
        return "error"
    try:
        exec(program, {"__name__": "__main__", "__builtins__": __builtins__})
        return "done"
    except SystemExit as left:
        return "exit" if left.code in (None, 0) else "error"
    except BaseException:
        return "error"


def main() -> None:
    verdict = int(sys.argv[1])
    job = json.loads(sys.stdin.buffer.read())
    os.chdir(job["folder"])
    os.write(verdict, (json.dumps(close_doors(job)) + "\n").encode())
    password = job.pop("password")
    ended = run(job)
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        ended = "error"
    os.write(verdict, json.dumps([password, ended]).encode())
    os._exit(0)


if __name__ == "__main__":
    sys.path[:] = [p for p in sys.path if Path(p) != Path(__file__).parent]
    main()
