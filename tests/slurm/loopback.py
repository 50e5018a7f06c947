"""A real Slurm on this machine's loopback: munged, mariadbd, slurmdbd, slurmctld and several slurmd with fake GPUs.

    with Loopback(folder) as cluster:        # a short path: unix sockets lie in it
        cluster.run("sbatch", ...)

Debian's slurmd can run several times on one host (`-N`), `config_overrides` lets two cores pass as many, and links to
/dev/null pass as GPUs. Every daemon is a child of this process, ended by its pid; jobs' steps are found by the mark
that their slurmd puts into the environment. Nothing listens but on 127.0.0.1.
"""

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd", "sbatch", "sacct")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MARK = "RUNG_LOOPBACK"
_HOSTS = Path("/etc/hosts")
_NODES = 4
_PATIENCE_S = 60
_ENDING_S = 15


def missing() -> str:
    """Why no cluster can be had here; empty if it can."""
    absent = [name for name in _PROGRAMS if shutil.which(name, path=_PATH) is None]
    if absent:
        return f"Slurm is not installed: no {', '.join(absent)}"
    if os.geteuid() != 0:
        return "a Slurm cluster on loopback is brought up by root only"
    if not socket.gethostbyname(socket.gethostname()).startswith("127."):
        return "this machine's own name does not mean loopback"
    return ""


class Loopback:
    """The cluster; a context manager."""

    def __init__(self, folder: Path, *, nodes: int = _NODES, cpus: int = 16, gpus: int = 8) -> None:
        self.folder = folder
        self.nodes = [f"node{number}" for number in range(nodes)]
        self._cpus, self._gpus = cpus, gpus
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._in_hosts = False
        self._port = 0

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client needs."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def __enter__(self) -> "Loopback":
        try:
            self._up()
        except BaseException:
            self._down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._down()

    def run(self, *command: str) -> str:
        """A client command's output; raises with its stderr where it fails."""
        done = subprocess.run(command, env={**os.environ, **self.environment}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def fail_node(self, node: str) -> None:
        """The machine dies: its slurmd and all its steps are killed, and the controller is told that it is down."""
        daemon = self._daemons.pop(node)
        daemon.kill()
        daemon.wait()
        self._kill_steps(node)
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=failed by a test")

    def mend_node(self, node: str) -> None:
        """The machine is back."""
        self._start_node(node)
        # A node that has registered by itself by now is in no state to be resumed from, which is told as an error.
        with suppress(RuntimeError):
            self.run("scontrol", "update", f"nodename={node}", "state=resume")

    def mend_nodes(self) -> None:
        """What an administrator does about nodes that Slurm has drained."""
        # It says that the others are idle anyway, and means it as an error.
        with suppress(RuntimeError):
            self.run("scontrol", "update", "nodename=ALL", "state=resume")

    def fail_controller(self) -> None:
        """slurmctld dies, with what it has not written down yet."""
        daemon = self._daemons.pop("slurmctld")
        daemon.kill()
        daemon.wait()

    def mend_controller(self) -> None:
        """It is back, and knows what it had written down."""
        self._start_controller()

    # --- up and down ---

    def _up(self) -> None:
        for name in ("run", "log", "state", "db", "dev", *(f"spool/{node}" for node in self.nodes)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "run").chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        for number in range(self._gpus):
            (self.folder / "dev" / f"nvidia{number}").symlink_to("/dev/null")
        port = self._port = _free_ports(10 + len(self.nodes))
        self._write_configuration(port)
        _edit_hosts(str(self.folder), f"127.0.0.1 {' '.join(self.nodes)} # {self.folder}\n")
        self._in_hosts = True
        socket_file = self.folder / "run" / "munge.sock"
        self._start(
            "munged", "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket_file}",
            f"--pid-file={self.folder}/run/munged.pid", f"--log-file={self.folder}/log/munged.log",
            f"--seed-file={self.folder}/munged.seed",
        )  # fmt: skip
        self._start_database()
        self._until("munged", socket_file.exists)
        self._start("slurmdbd", "slurmdbd", "-D")
        self._until("slurmdbd", lambda: _answers(port + 1))
        self._start_controller()
        for node in self.nodes:
            self._start_node(node)
        self._until("slurmctld", self._all_idle)
        self._until("slurmdbd", lambda: self._works("sacct", "-n", "-X", "-j", "1"))

    def _down(self) -> None:
        # Jobs that outlive their cluster would wait for it for ever.
        with suppress(OSError, RuntimeError):
            self.run("scancel", "--me")
            end = time.monotonic() + _ENDING_S
            while self.run("squeue", "--me", "-h").strip() and time.monotonic() < end:
                time.sleep(0.2)
        for name in reversed(list(self._daemons)):
            daemon = self._daemons.pop(name)
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._kill_steps("")
        if self._in_hosts:
            _edit_hosts(str(self.folder), "")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start(self, name: str, *command: str, **environment: str) -> None:
        base = {"PATH": _PATH, "HOME": "/", "LC_ALL": "C.UTF-8", _MARK: str(self.folder), **self.environment}
        base["MYSQL_UNIX_PORT"] = str(self.folder / "run" / "db.sock")
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                command, env={**base, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def _start_controller(self) -> None:
        self._start("slurmctld", "slurmctld", "-D")
        self._until("slurmctld", lambda: _answers(self._port))

    def _start_node(self, node: str) -> None:
        self._start(node, "slurmd", "-D", "-N", node, RUNG_LOOPBACK_NODE=node)

    def _start_database(self) -> None:
        """mariadbd on an empty folder: slurmdbd needs a few of the system's tables, and no users."""
        tables = Path("/usr/share/mysql/mysql_system_tables.sql").read_text(encoding="utf-8")
        wanted = re.findall(
            r"^CREATE TABLE IF NOT EXISTS (?:proc|servers|plugin|func|event) ?\(.*$", tables, re.MULTILINE
        )
        lines = ["create database if not exists mysql;", "use mysql;", *wanted]
        setup = self.folder / "setup.sql"
        setup.write_text("\n".join(lines) + "\n", encoding="utf-8")
        run = self.folder / "run"
        self._start(
            "mariadbd", "mariadbd", "--no-defaults", "--user=root", f"--datadir={self.folder}/db",
            f"--socket={run}/db.sock", f"--pid-file={run}/mariadbd.pid", f"--init-file={setup}", "--skip-networking",
            "--skip-grant-tables", "--skip-log-bin", "--innodb-use-native-aio=0", "--innodb-log-file-size=64M",
            "--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-lock-wait-timeout=900",
        )  # fmt: skip
        log = self.folder / "log" / "mariadbd.out"
        self._until("mariadbd", lambda: b"ready for connections" in log.read_bytes())

    def _write_configuration(self, port: int) -> None:
        folder, host, last = self.folder, socket.gethostname(), len(self.nodes) - 1
        gres = f"Gres=gpu:{self._gpus}" if self._gpus else ""
        common = "AuthType=auth/munge\nSlurmUser=root\nCommunicationParameters=NoInAddrAny"
        (folder / "slurm.conf").write_text(
            f"""{common},NoCtldInAddrAny
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdUser=root
AuthInfo=socket={folder}/run/munge.sock,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
DebugFlags=NO_CONF_HASH
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
MpiDefault=none
MailProg=/bin/true
PropagateResourceLimits=NONE
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=1000
GresTypes=gpu
SlurmdTimeout=30
ReturnToService=2
KillWait=3
MessageTimeout=30
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=1,bf_continue,default_queue_depth=10000
MaxArraySize=10001
FirstJobId={int(time.time()) % 60_000_000 + 1}
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port + 1}
AccountingStoragePass={folder}/run/munge.sock
AccountingStorageTRES=gres/gpu
NodeName=node[0-{last}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{port + 10}-{port + 10 + last}] CPUs={self._cpus} \
Sockets=1 CoresPerSocket={self._cpus} ThreadsPerCore=1 RealMemory=64000 {gres} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=short Nodes=ALL MaxTime=10 DefaultTime=5 PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=spare Nodes=ALL MaxTime=INFINITE DefaultTime=60 PriorityTier=1 PreemptMode=REQUEUE GraceTime=10 State=UP
""",
            encoding="utf-8",
        )
        devices = f"{folder}/dev/nvidia[0-{self._gpus - 1}]"
        (folder / "gres.conf").write_text(
            f"AutoDetect=off\nNodeName=node[0-{last}] Name=gpu Count={self._gpus} File={devices}\n", encoding="utf-8"
        )
        database = folder / "slurmdbd.conf"
        database.write_text(
            f"""{common}
AuthInfo=socket={folder}/run/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port + 1}
LogFile={folder}/log/slurmdbd.log
PidFile={folder}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StoragePass=none
StorageLoc=slurm_acct_db
""",
            encoding="utf-8",
        )
        database.chmod(0o600)

    # --- waiting ---

    def _all_idle(self) -> bool:
        told = self.run("sinfo", "-h", "-N", "-o", "%N %T")
        return len({line for line in told.splitlines() if line.endswith(" idle")}) == len(self.nodes)

    def _works(self, *command: str) -> bool:
        try:
            self.run(*command)
        except RuntimeError:
            return False
        return True

    def _until(self, daemon: str, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + _PATIENCE_S
        while True:
            with suppress(OSError, RuntimeError):
                if ready():
                    return
            if self._daemons[daemon].poll() is not None or time.monotonic() > end:
                log = (self.folder / "log" / f"{daemon}.out").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{daemon} did not come up: {log}")
            time.sleep(0.05)

    def _kill_steps(self, node: str) -> None:
        """slurmstepds leave their slurmd's process tree; the mark in their environment says whose they are."""
        mark = f"{_MARK}={self.folder}".encode()
        of_node = f"RUNG_LOOPBACK_NODE={node}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "comm").read_text().strip() != "slurmstepd":
                    continue
                variables = (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if mark in variables and (not node or of_node in variables):
                _kill_tree(int(process.name))


def _edit_hosts(mark: str, line: str) -> None:
    """Puts a line in front and drops those with the mark; MASTER_ADDR is a node's name, and must mean loopback."""
    with _HOSTS.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept = [old for old in file.readlines() if mark not in old]
        file.seek(0)
        file.write(line + "".join(kept))
        file.truncate()


def _kill_tree(pid: int) -> None:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        children = []
    for child in children:
        _kill_tree(int(child))
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    base = 17_000 + os.getpid() % 90 * 100
    while any(_answers(port) for port in range(base, base + count)):
        base = base + 100 if base < 26_900 else 17_000
    return base
