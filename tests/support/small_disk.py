"""A small disk of the tests' own, which can be really full: a tmpfs, where this machine lets us
mount one."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TMPFS = ("mount", "-t", "tmpfs")


def can_mount() -> bool:
    """Root may, unless in a container without the right to (CAP_SYS_ADMIN). Tried where nobody else
    sees it."""
    trial = ["unshare", "--mount", *_TMPFS, "none", "/mnt"]
    with suppress(OSError):
        return subprocess.run(trial, capture_output=True, check=False).returncode == 0
    return False


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="disk-") as folder:
        subprocess.run([*_TMPFS, "-o", f"size={size}", "none", folder], check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """ENOSPC for everybody, until the file that takes all the room is deleted."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(65_536))
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(b"x")
    yield
    filler.unlink()
