"""Work in threads."""

import platform
import subprocess
import sys

import pytest

HEAPS = """
import ctypes, threading
from concurrent.futures import ThreadPoolExecutor
from sightglass.common.work.threads import share_heap

share_heap()
together = threading.Barrier(4)
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda size: (bytearray(size), together.wait()), [10_000] * 4))
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
output = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, output)
libc.fflush(output)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="Only glibc gives each thread a heap.")
def test_threads_allocate_from_one_heap() -> None:
    done = subprocess.run([sys.executable, "-c", HEAPS], capture_output=True, text=True, check=True)
    assert done.stdout.count("<heap nr=") == 1
