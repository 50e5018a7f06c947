"""Runs a program of somebody else's, so that it can do no harm: see `launcher.py` for the walls.

Where the kernel gives no user namespaces, nothing is run, unless the user has switched on the weaker way
(`RUNG_SANDBOX=limits-only`): then the program is somebody unprivileged (if we are root; if not, it is ourselves) under
the same limits, in an empty folder and without our environment, but it sees the file system and the network.
"""

import json
import os
import selectors
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from runtime.sandbox.launcher import FAILED, NOBODY

SWITCH, WEAKER = "RUNG_SANDBOX", "limits-only"
_LAUNCHER = Path(__file__).with_name("launcher.py")
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache")
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/scratch", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}


class SandboxUnavailableError(RuntimeError):
    """This machine cannot lock a program in."""


@dataclass(frozen=True)
class Limits:
    """What a program may use."""

    seconds: float = 30.0
    """On the clock, its start included; long beside what the processor may take, for the machine may be busy."""
    cpu_seconds: int = 8
    memory: int = 512 * 2**20
    """Bytes of address space of each process."""
    processes: int = 4
    """Threads count."""
    disk: int = 16 * 2**20
    """Bytes of all files in the scratch folder."""
    files: int = 256
    output: int = 64 * 2**10
    """Bytes of standard output and error, each; a program that writes more is ended."""


@dataclass(frozen=True)
class Outcome:
    """How it ended."""

    returncode: int
    """0, its own, or 128 and the signal that ended it."""
    stdout: bytes
    stderr: bytes
    ended: str = ""
    """Why we ended it: `time` or `output`; empty where it ended by itself or by a limit of the kernel."""


def run(arguments: Sequence[str], stdin: bytes, limits: Limits = Limits()) -> Outcome:
    """Runs this interpreter with these arguments behind walls; SandboxUnavailableError where there are none."""
    namespaces = os.environ.get(SWITCH) != WEAKER
    if namespaces:
        _check_walls()
    return _run(arguments, stdin, limits, namespaces=namespaces)


@cache
def _check_walls() -> None:
    """Tries once whether this machine can do it."""
    try:
        outcome = _run(["-c", "print('inside')"], b"", Limits(seconds=60), namespaces=True)
        why = outcome.stderr.decode(errors="replace").strip() or f"status {outcome.returncode} {outcome.ended}"
        if outcome.stdout == b"inside\n":
            return
    except SandboxUnavailableError as error:
        why = str(error)
    raise SandboxUnavailableError(
        f"generated programs run in namespaces of the kernel's, which this machine does not give: {why}. "
        f"{SWITCH}={WEAKER} runs them with limits alone; they then see the file system and the network"
    )


def _run(arguments: Sequence[str], stdin: bytes, limits: Limits, *, namespaces: bool) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="rung-sandbox-", ignore_cleanup_errors=True) as root:
        if os.getuid() == 0:
            os.chown(root, NOBODY, NOBODY)
        interpreter = os.path.realpath(sys.executable)
        config = {
            "namespaces": namespaces,
            "root": root,
            "readable": _readable(interpreter),
            "limits": asdict(limits),
            "command": [interpreter, "-I", "-S", "-B", *arguments],
            "environment": _ENVIRONMENT if namespaces else {**_ENVIRONMENT, "HOME": root},
        }
        process = subprocess.Popen(
            [interpreter, "-I", "-S", "-B", "-X", "utf8", str(_LAUNCHER), json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"LANG": "C.UTF-8"},
            cwd="/",
            start_new_session=True,
        )
        try:
            return _watch(process, stdin, limits)
        finally:
            _end(process)
            for file in (process.stdin, process.stdout, process.stderr):
                if file is not None:
                    file.close()


def _readable(interpreter: str) -> Sequence[str]:
    """What the interpreter needs to start: itself, its library, the system's. No other file is there inside."""
    library = sysconfig.get_path("stdlib", vars={"base": sys.base_prefix, "installed_base": sys.base_prefix})
    shared = sysconfig.get_config_var("LIBDIR") or ""
    wanted = [interpreter, library, *_LIBRARIES, *([shared] if Path(shared).is_dir() else [])]
    found: list[str] = []
    for path in sorted(dict.fromkeys(wanted), key=len):
        real = os.path.realpath(path)
        if Path(path).exists() and not any((real + "/").startswith(one + "/") for one in found):
            found.append(path)
    return found


def _watch(process: "subprocess.Popen[bytes]", stdin: bytes, limits: Limits) -> Outcome:
    """Feeds it, reads it, and ends it when it takes too long or says too much."""
    assert process.stdin and process.stdout and process.stderr
    streams: Mapping[int, bytearray] = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    deadline = time.monotonic() + limits.seconds
    left = memoryview(stdin)
    ended = ""
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as selector:
        for file in (process.stdout, process.stderr):
            selector.register(file, selectors.EVENT_READ)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map() and not ended:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready and time.monotonic() >= deadline:
                ended = "time"
            for key, _ in ready:
                if key.fd in streams:
                    found = os.read(key.fd, 65_536)
                    streams[key.fd].extend(found)
                    if not found:
                        selector.unregister(key.fileobj)
                    elif len(streams[key.fd]) > limits.output:
                        ended = "output"
                    continue
                try:
                    left = left[os.write(key.fd, left[:65_536]) :]
                except (BlockingIOError, BrokenPipeError) as error:
                    left = left if isinstance(error, BlockingIOError) else left[len(left) :]
                if not left:
                    selector.unregister(key.fileobj)
                    process.stdin.close()
    if not ended:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            ended = "time"
    if ended:
        _end(process)
    stdout, stderr = (bytes(streams[file.fileno()][: limits.output]) for file in (process.stdout, process.stderr))
    code = process.wait()
    if code == FAILED and not ended and stderr and not stdout:
        raise SandboxUnavailableError(stderr.decode(errors="replace").strip())
    return Outcome(128 - code if code < 0 else code, stdout, stderr, ended)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends it, and with it, in namespaces, all that it started; without them, all of its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(PermissionError):
        process.kill()
    process.wait()
