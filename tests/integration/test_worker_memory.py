"""What one of a worker's threads leaves free, the others can use."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["tests.support.simulator_fixtures"]

_WORK_AND_SAY_WHERE_MEMORY_IS = """
import ctypes
from bridge.cli import main

main(["migrate"], standalone_mode=False)
main(["work", "--once"], standalone_mode=False)
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(b"arenas.xml", b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_threads_of_a_worker_share_two_arenas(
    simulator_env: dict[str, str], tmp_path: Path
) -> None:
    """Else each of them, also those that only renew leases or listen, has one of its own. What
    glibc says of them: https://man7.org/linux/man-pages/man3/malloc_info.3.html"""
    environ = os.environ | simulator_env | {"BRIDGE_WEBHOOK_TOKENS": "a-token-of-the-tests"}
    command = [sys.executable, "-c", _WORK_AND_SAY_WHERE_MEMORY_IS]

    subprocess.run(command, env=environ, cwd=tmp_path, check=True, capture_output=True)

    assert (tmp_path / "arenas.xml").read_text().count("<heap nr=") == 2
