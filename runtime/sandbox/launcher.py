"""The child that locks itself in and then becomes the program. A script of its own, with the standard library only.

    python -I -S -B launcher.py CONFIG      (JSON; see `run.py`)

In a kernel with user namespaces: as an unprivileged user, in new user, mount, network, process, IPC and host-name
namespaces; the file system is an empty one with the interpreter and the system's libraries bound into it, read-only,
and one scratch folder in memory; no network device is up; no capability is left and none can be had; process 1 of the
new process namespace is ours, and with it ends everything that the program has started. Limits on CPU time, memory,
processes, files and file sizes hold in either way.

Exit status: the program's own, 128 + its signal, or FAILED where it could not be locked in (why: on stderr).
"""

import ctypes
import json
import os
import re
import resource
import signal
import sys
from typing import Any, NoReturn

FAILED = 99
NOBODY = 65534

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_NS, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PID, _NEW_NET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_KEPT_FLAGS = {os.ST_NOEXEC: _NOEXEC, os.ST_NOATIME: 1024, os.ST_NODIRATIME: 2048, os.ST_RELATIME: 1 << 21}
"""Of a mount that was locked by the parent: they may not be dropped when it is mounted again."""
_PDEATHSIG, _SET_DUMPABLE, _CAPBSET_DROP, _NO_NEW_PRIVS = 1, 4, 24, 38
_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "ppc64le": 203, "riscv64": 41}


def main(config: dict[str, Any]) -> NoReturn:
    """Never returns."""
    try:
        if config["namespaces"]:
            wall_off(config)
        else:
            drop_root()
            os.chdir(config["root"])
        limit(config["limits"])
        _prctl(_NO_NEW_PRIVS, 1)
        os.execve(config["command"][0], config["command"], config["environment"])
    except OSError as error:
        os.write(2, f"{error}\n".encode())
        os._exit(FAILED)


def wall_off(config: dict[str, Any]) -> None:
    """Alone with itself. Root builds the walls as root, for it can read what others cannot, and becomes nobody inside
    them; anybody else becomes master of a user namespace first."""
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
    was_root = os.getuid() == 0
    others = _NEW_NS | _NEW_NET | _NEW_PID | _NEW_IPC | _NEW_UTS
    if was_root:
        _call("unshare", others)
    else:
        _enter_user_namespace(proc, others)
    _call("sethostname", b"sandbox", ctypes.c_size_t(7))
    build_root(config)
    _guard_with_init()
    if was_root:
        drop_root()
        _enter_user_namespace(proc, 0)
    _write(proc, "sys/user/max_user_namespaces", b"0")
    os.close(proc)
    number = 0
    while _LIBC.prctl(_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    os.chdir("/scratch")


def drop_root() -> None:
    """Root becomes nobody; anybody else stays who they are."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        _prctl(_SET_DUMPABLE, 1)  # /proc/self belongs to root otherwise, and the maps could not be written


def _enter_user_namespace(proc: int, others: int) -> None:
    user, group = os.getuid(), os.getgid()
    _call("unshare", _NEW_USER | others)
    _write(proc, "self/setgroups", b"deny")
    _write(proc, "self/uid_map", f"{NOBODY} {user} 1".encode())
    _write(proc, "self/gid_map", f"{NOBODY} {group} 1".encode())


def build_root(config: dict[str, Any]) -> None:
    """A root that holds what the interpreter needs to start, read-only, and a scratch folder in memory."""
    root = config["root"]
    _mount("none", "/", None, _REC | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for path in config["readable"]:
        _bind(path, root)
    for path in ("/dev/null", "/dev/zero", "/dev/urandom"):
        _bind(path, root)
    _lock(root)
    os.mkdir(root + "/scratch")
    size, files = config["limits"]["disk"], config["limits"]["files"]
    options = f"size={size},nr_inodes={files},mode=700,uid={NOBODY},gid={NOBODY}"
    _mount("tmpfs", root + "/scratch", "tmpfs", _NOSUID | _NODEV, options)
    os.symlink("/scratch", root + "/tmp")
    os.mkdir(root + "/old")
    if _LIBC.syscall(_PIVOT_ROOT[os.uname().machine], root.encode(), (root + "/old").encode()) != 0:
        _fail("pivot_root")
    os.chdir("/")
    _call("umount2", b"/old", _DETACH)
    os.rmdir("/old")
    _mount("none", "/", None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def limit(limits: dict[str, Any]) -> None:
    """What the program may use; a process each, but for the number of processes."""
    for name, value in (
        ("CPU", limits["cpu_seconds"]),
        ("AS", limits["memory"]),
        ("FSIZE", limits["disk"]),
        ("NOFILE", 64),
        ("CORE", 0),
        ("MEMLOCK", 0),
        ("NPROC", limits["processes"]),
    ):
        which = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(which, (value, value))


def _guard_with_init() -> None:
    """Three generations: this process waits, its child is the namespace's first process, its grandchild goes on.

    Who ends the first ends the others: each dies with its parent.
    """
    first = os.fork()
    if first:
        os._exit(_status(first))
    _prctl(_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    program = os.fork()
    if not program:
        _prctl(_PDEATHSIG, signal.SIGKILL)
        return
    _prctl(_SET_DUMPABLE, 0)
    while True:
        ended, status = os.wait()
        if ended == program:
            os._exit(_code(status))


def _status(child: int) -> int:
    return _code(os.waitpid(child, 0)[1])


def _code(status: int) -> int:
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _bind(path: str, root: str) -> None:
    """The path, with what lies under it, at the same place below root; a symbolic link is made again as one."""
    target = root + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(path, target, None, _BIND | _REC)


def _lock(root: str) -> None:
    """Everything bound so far, and what was mounted below it, read-only."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        places = [re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split(" ")[4]) for line in lines]
    for place in places:
        if place.startswith(root + "/"):
            kept = sum(ours for theirs, ours in _KEPT_FLAGS.items() if os.statvfs(place).f_flag & theirs)
            nodev = 0 if place.startswith(root + "/dev/") else _NODEV
            _mount("none", place, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | nodev | kept)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = [None if one is None else os.fsencode(one) for one in (source, target, kind, options)]
    if _LIBC.mount(arguments[0], arguments[1], arguments[2], ctypes.c_ulong(flags), arguments[3]) != 0:
        _fail(f"mount {target}")


def _write(proc: int, path: str, text: bytes) -> None:
    file = os.open(path, os.O_WRONLY, dir_fd=proc)
    try:
        os.write(file, text)
    except OSError as error:
        raise OSError(error.errno, f"/proc/{path}: {error.strerror}") from error
    finally:
        os.close(file)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        _fail(f"prctl {option}")


def _call(name: str, *arguments: Any) -> None:
    if getattr(_LIBC, name)(*arguments) != 0:
        _fail(name)


def _fail(what: str) -> NoReturn:
    number = ctypes.get_errno()
    raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
