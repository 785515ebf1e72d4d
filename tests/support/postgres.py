"""A PostgreSQL of the tests' own: made in a temporary folder, listening on a socket there, gone at
the end."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

_DEBIAN = (
    sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if Path("/usr/lib/postgresql").is_dir()
    else []
)


def _program(name: str) -> str:
    for folder in _DEBIAN:
        if (folder / name).exists():
            return str(folder / name)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"PostgreSQL's {name} is not on this machine")
    return found


class Server:
    """One cluster; `url(name)` is a database in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pid_file = folder / "data" / "postmaster.pid"
        self._user = {"user": "postgres"} if os.getuid() == 0 else {}
        self._made: set[str] = set()

    def create(self) -> None:
        if self._user:
            shutil.chown(self._folder, "postgres", "postgres")
        self._run(
            "initdb",
            "-D",
            str(self._folder / "data"),
            "-U",
            "bridge",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
        )

    def start(self) -> None:
        options = (
            f"-c listen_addresses='' -c unix_socket_directories='{self._folder}' -c "
            "fsync=off -c max_connections=200"
        )
        self._run(
            "pg_ctl",
            "-D",
            str(self._folder / "data"),
            "-w",
            "-l",
            str(self._folder / "log"),
            "-o",
            options,
            "start",
        )

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", mode, "stop")

    def is_ready(self) -> bool:
        command = [_program("pg_isready"), "-q", "-h", str(self._folder), "-d", "postgres"]
        return subprocess.run(command, check=False).returncode == 0

    def processes(self) -> list[int]:
        """The server, and then each of its own, the newest last."""
        first = self._pid_file.read_text().split()[0]
        return [
            int(pid)
            for pid in (first, *Path(f"/proc/{first}/task/{first}/children").read_text().split())
        ]

    def kill(self, *pids: int) -> None:
        """`kill -9`: no word to anybody, nothing written."""
        first = self.processes()[0]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not any(map(_is_running, pids)), 20, "PostgreSQL's processes to be dead")
        if (
            first in pids
        ):  # In a container whose first process is slow to bury the dead, they would seem to live.
            for file in (self._pid_file, self._folder / ".s.PGSQL.5432.lock"):
                file.unlink()

    def freeze(self) -> None:
        """It accepts connections and answers nothing, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def url(self, name: str) -> str:
        if name not in self._made:
            self._run("createdb", "-h", str(self._folder), "-U", "bridge", name)
            self._made.add(name)
        return f"postgresql+psycopg://bridge@/{name}?host={self._folder}"

    @property
    def socket(self) -> str:
        """The file at which it listens."""
        return str(self._folder / ".s.PGSQL.5432")

    def drop(self, name: str) -> None:
        self._run("dropdb", "-h", str(self._folder), "-U", "bridge", "--force", "--if-exists", name)
        self._made.discard(name)

    def shell(self, line: str) -> str:
        """A command line of PostgreSQL's own programs, as a person would type it on this machine;
        what it said."""
        program, _, rest = line.partition(" ")
        done = subprocess.run(  # noqa: S602  # our own
            f"{_program(program)} {rest}", shell=True, capture_output=True, text=True, check=True
        )
        return done.stdout + done.stderr

    def path(self) -> str:
        """A search path on which PostgreSQL's own programs are found."""
        return f"{Path(_program('pg_restore')).parent}:{os.environ['PATH']}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [_program(program), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd="/", check=False, **self._user
        )  # type: ignore[call-overload]
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout[-500:]}{done.stderr[-500:]}")


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@contextmanager
def running_server(folder: Path) -> Iterator[Server]:
    folder.chmod(0o755)
    for parent in folder.parents:
        if parent.owner() == "root" and parent != Path("/"):
            parent.chmod(
                parent.stat().st_mode | 0o011
            )  # PostgreSQL runs as a user of its own and must reach its folder.
    server = Server(folder)
    server.create()
    server.start()
    try:
        yield server
    finally:
        server.stop()
