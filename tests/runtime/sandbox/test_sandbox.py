"""Escapes that must fail to do harm. Targets are on loopback or in temporary folders, and limits stand around all."""

import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from runtime.sandbox import Limits, Outcome, SandboxUnavailableError, run

TIGHT = Limits(seconds=6, cpu_seconds=2, memory=256 * 2**20, processes=4, disk=4 * 2**20, files=64, output=8192)


@pytest.fixture(autouse=True)
def _walls() -> None:
    try:
        run(["-c", ""], b"")
    except SandboxUnavailableError as error:
        pytest.skip(str(error))


def _tries(code: str, limits: Limits = TIGHT) -> Outcome:
    return run(["-c", code], b"", limits)


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a server on loopback that says hello to whoever reaches it."""

    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Hello) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield httpd.server_address[1]
        httpd.shutdown()
        thread.join()


def test_a_harmless_program_runs_and_its_input_and_output_are_whole() -> None:
    outcome = run(
        ["-c", "import sys; print(sys.stdin.read()[::-1]); sys.exit(3)"], b"abc" * 50_000, Limits(output=10**6)
    )
    assert (outcome.returncode, outcome.stdout, outcome.ended) == (3, b"cba" * 50_000 + b"\n", "")


def test_no_network(server: int) -> None:
    code = f"""
import socket
for family, place in ((socket.AF_INET, ("127.0.0.1", {server})), (socket.AF_INET, ("192.0.2.1", 80))):
    try:
        socket.create_connection(place, timeout=1)
        print("REACHED")
    except OSError as error:
        print(type(error).__name__)
try:
    print("NAME", socket.getaddrinfo("localhost.example.com", 80))
except OSError:
    pass
"""
    outcome = _tries(code)
    assert b"REACHED" not in outcome.stdout and b"NAME" not in outcome.stdout
    assert outcome.returncode == 0


def test_no_abstract_socket_of_the_machine() -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("\0rung-sandbox-test")
        listening.listen()
        outcome = _tries(
            "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0rung-sandbox-test')\nprint('REACHED')"
        )
    assert outcome.returncode != 0 and b"REACHED" not in outcome.stdout


def test_a_fork_bomb_stays_small_and_leaves_nobody_behind() -> None:
    code = """
import os, time
made = 0
try:
    for _ in range(500):
        if os.fork() == 0:
            os.setsid()
            time.sleep(60)
        made += 1
except OSError as error:
    print(type(error).__name__)
print(made)
"""
    before = _processes()
    outcome = _tries(code)
    kind, made = outcome.stdout.split()
    assert kind == b"BlockingIOError"
    assert int(made) < 4
    assert _settles(before)


def test_a_daemon_does_not_outlive_the_program() -> None:
    mark = f"{os.getpid()}{time.time_ns()}"
    code = f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", "import time; time.sleep(300) # {mark}"])
    os._exit(0)
time.sleep(0.3)
print("left")
"""
    assert _tries(code).stdout == b"left\n"
    deadline = time.monotonic() + 5
    while _command_lines(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _command_lines(mark)


def test_memory_is_bounded() -> None:
    outcome = _tries("blocks = []\nwhile True:\n    blocks.append(bytearray(16 * 2**20))")
    assert outcome.returncode != 0
    assert b"MemoryError" in outcome.stderr or outcome.returncode > 128


def test_disk_is_bounded_and_gone_afterwards() -> None:
    code = """
import os
size = 0
try:
    for number in range(1000):
        with open(f"/tmp/{number}", "wb") as file:
            size += file.write(bytes(2**20))
except OSError as error:
    print(type(error).__name__)
print(size, file=__import__("sys").stderr)
"""
    outcome = _tries(code)
    assert b"OSError" in outcome.stdout
    assert int(outcome.stderr.split()[-1]) <= 4 * 2**20
    assert not list(Path("/tmp").glob("rung-sandbox-*/scratch"))
    many = _tries("for number in range(1000):\n    open(f'/tmp/{number}', 'w').close()")
    assert b"No space left" in many.stderr


def test_time_on_the_clock_and_of_the_processor_are_bounded() -> None:
    begun = time.monotonic()
    asleep = _tries("import time\ntime.sleep(60)", Limits(seconds=1.0))
    assert asleep.ended == "time"
    assert time.monotonic() - begun < 5
    busy = _tries("while True: pass", Limits(seconds=8, cpu_seconds=1))
    assert (busy.ended, busy.returncode > 128) == ("", True)


def test_signals_are_ignored_only_until_the_clock_runs_out() -> None:
    code = """
import signal, time
for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except OSError:
        pass
time.sleep(60)
"""
    assert _tries(code, Limits(seconds=1.0)).ended == "time"


def test_nobody_outside_is_killed() -> None:
    victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        code = f"""
import os, signal
for who in ({victim.pid}, {os.getpid()}, 1, 0, -1, os.getppid()):
    try:
        if who > 0 or who == -1:
            os.kill(who, signal.SIGKILL)
    except OSError as error:
        print(type(error).__name__)
"""
        _tries(code)
        time.sleep(0.1)
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_output_is_bounded() -> None:
    outcome = _tries("while True: print('x' * 1000)")
    assert outcome.ended == "output"
    assert len(outcome.stdout) <= 8192


def test_neither_environment_nor_files_of_ours_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SESAME")
    secret.chmod(0o644)
    monkeypatch.setenv("RUNG_TEST_SECRET", "SESAME")
    code = f"""
import os, glob
print(dict(os.environ))
wanted = [{str(secret)!r}, "/etc/passwd", "/etc/shadow", "/proc/1/environ", "/proc/self/environ", "/root/.ssh",
          {str(Path.home())!r}, {str(Path(__file__))!r}, "/old", "/sys", "/run", "/var", "/home", "/mnt", "/old_root"]
for path in wanted:
    try:
        print("READ", path, open(path, "rb").read(100))
    except IsADirectoryError:
        print("FOLDER", path, os.listdir(path))
    except OSError:
        pass
"""
    outcome = _tries(code)
    assert outcome.returncode == 0
    assert b"SESAME" not in outcome.stdout and b"READ" not in outcome.stdout
    folders = [line for line in outcome.stdout.splitlines() if line.startswith(b"FOLDER")]
    assert all(b"ssh" not in line and b"config" not in line for line in folders)


def test_symbolic_links_and_dots_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("SESAME")
    code = f"""
import os
os.symlink({str(tmp_path)!r}, "/tmp/link")
for path in ("/tmp/link/secret.txt", "/tmp/../../../../{tmp_path}/secret.txt", "/proc/self/root/{tmp_path}/secret.txt"):
    try:
        print(open(path).read())
    except OSError as error:
        print(type(error).__name__)
"""
    assert _tries(code).stdout.split() == [b"FileNotFoundError"] * 3


def test_nothing_but_the_scratch_folder_can_be_written() -> None:
    code = """
import os, sysconfig, sys
places = [sysconfig.get_path("purelib"), sysconfig.get_path("stdlib"), os.path.dirname(sys.executable),
          "/", "/usr/lib", "/dev", "/etc", "/lib"]
for place in places:
    try:
        os.makedirs(place, exist_ok=True)
        with open(place + "/planted.py", "w") as file:
            file.write("raise SystemExit")
        print("WROTE", place)
    except OSError as error:
        print(type(error).__name__)
try:
    os.chmod(sys.executable, 0o777)
    print("WROTE mode")
except OSError:
    pass
with open("/scratch/mine", "w") as file:
    file.write("ok")
print(open("/tmp/mine").read())
"""
    outcome = _tries(code)
    assert b"WROTE" not in outcome.stdout
    assert outcome.stdout.endswith(b"ok\n")


def test_no_privilege_comes_back() -> None:
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
print("ids", os.getuid(), os.geteuid(), os.getgroups())
for name, call in {
    "user namespace": lambda: libc.unshare(0x10000000),
    "mount namespace": lambda: libc.unshare(0x00020000),
    "mount": lambda: libc.mount(b"none", b"/scratch", b"tmpfs", 0, None),
    "umount": lambda: libc.umount2(b"/usr/lib", 2),
    "chroot": lambda: libc.chroot(b"/scratch"),
    "setuid": lambda: libc.setuid(0),
    "device": lambda: libc.mknod(b"/scratch/sda", 0o60666, 0x800),
    "host name": lambda: libc.sethostname(b"x", 1),
    "trace": lambda: libc.ptrace(16, 1, 0, 0),
}.items():
    print("DONE" if call() == 0 else "refused", name)
import resource
try:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("DONE limits")
except (OSError, ValueError):
    print("refused limits")
"""
    outcome = _tries(code)
    assert outcome.stdout.splitlines()[0] == b"ids 65534 65534 []"
    assert b"DONE" not in outcome.stdout
    assert outcome.stdout.count(b"refused") == 10


def test_open_files_of_ours_are_not_inherited(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("SESAME")
    with secret.open("rb") as file:
        os.set_inheritable(file.fileno(), True)
        outcome = _tries(
            """
import os
for number in range(3, 64):
    try:
        print(os.read(number, 99))
    except OSError:
        pass
"""
        )
    assert outcome.stdout == b""


def test_without_walls_nothing_runs_until_the_user_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "launcher.py"
    broken.write_text("import os\nos.write(2, b'unshare: Operation not permitted')\nos._exit(99)\n")
    module = import_module("runtime.sandbox.run")
    monkeypatch.setattr(module, "_LAUNCHER", broken)
    module._check_walls.cache_clear()
    try:
        with pytest.raises(SandboxUnavailableError, match=r"not permitted.*RUNG_SANDBOX=limits-only"):
            run(["-c", "print('ran')"], b"")
    finally:
        module._check_walls.cache_clear()


ROOT = Path(__file__).parents[3]
PYTHON = Path("/usr/bin/python3")
BY_NOBODY = """
import sys
sys.path.insert(0, sys.argv[1])
from runtime.sandbox import Limits, run
def tries(code, **limits):
    return run(["-c", code], b"", Limits(**limits))
print(tries("import os; print(os.environ.get('SECRET'), sorted(os.listdir('/')), os.getuid())").stdout)
print(tries("import time; time.sleep(60)", seconds=2).ended)
print(tries("b = bytearray(2**30)").returncode != 0)
print(tries("import os; os.fork(); os.fork(); os.fork()", processes=2).returncode != 0)
print(tries("open('big', 'wb').write(bytes(2**25))").returncode != 0)
"""


@pytest.mark.skipif(
    os.getuid() != 0 or not PYTHON.exists(), reason="needs root, to be somebody else, and Debian's Python"
)
@pytest.mark.parametrize("switch", ["", "limits-only"])
def test_somebody_unprivileged_has_the_same_walls_and_the_weaker_way_still_limits(switch: str) -> None:
    if ROOT.stat().st_mode & 0o005 != 0o005:
        pytest.skip("others may not read this repository")
    made = subprocess.run(
        [PYTHON, "-B", "-c", BY_NOBODY, ROOT],
        user=65534,
        group=65534,
        extra_groups=[],
        env={"SECRET": "SESAME", "RUNG_SANDBOX": switch},
        cwd="/",
        capture_output=True,
        check=False,
    )
    lines = made.stdout.decode().splitlines()
    assert len(lines) == 5, made.stderr.decode()[-500:]
    assert "SESAME" not in lines[0] and "65534" in lines[0]
    assert ("root" in lines[0]) == (switch != "")
    assert lines[1:] == ["time", "True", "True", "True"]


def _processes() -> int:
    return sum(path.name.isdigit() for path in Path("/proc").iterdir())


def _settles(before: int) -> bool:
    """Whether there are about as many processes again soon: others come and go meanwhile."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if _processes() <= before + 20:
            return True
        time.sleep(0.05)
    return False


def _command_lines(mark: str) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in file.read_bytes() and file.parent.name != str(os.getpid()):
                found.append(file.parent.name)
        except OSError:
            pass
    return found
