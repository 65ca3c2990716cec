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

# name -> number, by machine; linux/arch/x86/entry/syscalls/syscall_64.tbl and asm-generic/unistd.h
X86_64 = {
    "audit": 0xC000003E, "clone": 56, "clone3": 435, "kill": 62, "tgkill": 234,
    "refused": (57, 58, 59, 322, 200, 41, 101, 310, 311, 424, 425, 434, 438, 321, 323, 298, 248, 249, 250, 165, 272, 308, 29, 64, 68),
}  # fmt: skip
ARM64 = {
    "audit": 0xC00000B7, "clone": 220, "clone3": 435, "kill": 129, "tgkill": 131,
    "refused": (221, 281, 130, 198, 117, 270, 271, 424, 425, 434, 438, 280, 282, 241, 217, 218, 219, 40, 97, 268, 194, 190, 186),
}  # fmt: skip
# refused, in this order: fork and vfork (x86 alone), execve, execveat, tkill, socket, ptrace, process_vm_readv and _writev,
# pidfd_send_signal, io_uring_setup, pidfd_open, pidfd_getfd, bpf, userfaultfd, perf_event_open, add_key, request_key, keyctl,
# mount, unshare, setns, shmget, semget, msgget

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
    return libc.syscall(446, rules, 0) == 0


def close_calls(libc: Any) -> bool:
    """seccomp: threads may be started, processes, programs and sockets may not; signals to itself alone."""
    table = {"x86_64": X86_64, "aarch64": ARM64}.get(platform.machine())
    if table is None:
        return False
    code = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, table["audit"]), (RETURN, 0, 0, KILL), (LOAD, 0, 0, CALL_NUMBER)]
    if table is X86_64:
        code += [(AT_LEAST, 0, 1, 0x40000000), (RETURN, 0, 0, KILL)]  # the same calls once more, under other numbers
    code += [(EQUAL, 0, 1, table["clone3"]), (RETURN, 0, 0, NO_SUCH_CALL)]  # then the C library takes clone, whose flags can be read
    for call, test, value in (("clone", ANY_BIT, CLONE_THREAD), ("kill", EQUAL, os.getpid()), ("tgkill", EQUAL, os.getpid())):
        code += [
            (EQUAL, 0, 4, table[call]),
            (LOAD, 0, 0, FIRST_ARGUMENT),
            (test, 1, 0, value),
            (RETURN, 0, 0, REFUSE),
            (RETURN, 0, 0, ALLOW),
        ]
    for number in table["refused"]:
        code += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE)]
    code.append((RETURN, 0, 0, ALLOW))
    packed = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    program = struct.pack("HxxxxxxP", len(code), ctypes.addressof(packed))
    return libc.prctl(22, 2, program, 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def close_doors(job: dict[str, Any]) -> list[str]:
    """What is left open."""
    left = limit(job)
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    sealed = libc is not None and libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS, which both of the following ask for
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
