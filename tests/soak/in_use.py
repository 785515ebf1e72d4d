"""What a process has in use of the memory that it holds. What it holds grows in steps, with each
backlog that is larger than those before, and stays; a leak is in use."""

import _sqlite3
import ctypes
import sys
import threading
import time
from pathlib import Path

_EVERY = 2.0
_NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"


class _Mallinfo(ctypes.Structure):
    """https://man7.org/linux/man-pages/man3/mallinfo.3.html"""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _NAMES.split())


def file_of(folder: Path, pid: int) -> Path:
    return folder / f"{pid}.in_use"


def note_from_now_on(file: Path) -> None:
    """Python's blocks, and glibc's bytes without SQLite's page caches, every few seconds. Those
    grow with the file up to a limit for each connection, and are no leak.
    https://www.sqlite.org/pragma.html#pragma_cache_size"""
    threading.Thread(target=_note, args=(file,), daemon=True).start()


def read(file: Path) -> tuple[int, int]:
    """Blocks and bytes."""
    blocks, allocated = file.read_text().split()
    return int(blocks), int(allocated)


def _note(file: Path) -> None:
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _Mallinfo
    sqlite = ctypes.CDLL(_sqlite3.__file__)
    sqlite.sqlite3_memory_used.restype = ctypes.c_int64
    new = file.with_suffix(".new")
    while True:
        info = libc.mallinfo2()
        allocated = info.uordblks + info.hblkhd - sqlite.sqlite3_memory_used()
        new.write_text(f"{sys.getallocatedblocks()} {allocated}")
        new.replace(file)
        time.sleep(_EVERY)
