"""The C library's allocator, which drivers and Arrow use: what they free goes back to the system, and is not kept.

Three allocators are at work in a run, and by default each keeps for a while what it had, so that a run of a million
members held twice what it needed. The settings of polars' own (jemalloc) and of Arrow's are in
`zsync_pipelines/__init__.py`, since the libraries read them when they are loaded. Measured with ten million members,
all of this takes a fifth off the peak. Pages that come anew each time cost time: to read and pass on ten million rows
took 1.6 seconds, 1.1 before, and whole runs of them take 5 to 15% longer.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_ARENAS, _MMAP, _TRIM = -8, -3, -1
"""mallopt(3): M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD."""
_LARGE = 1 << 20


@cache
def give_back_memory() -> None:
    """Have what is large mapped, and so gone when it is freed, in this process (glibc; nothing happens elsewhere)."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for setting, value in ((_ARENAS, 2), (_MMAP, _LARGE), (_TRIM, 2 * _LARGE)):
            mallopt(setting, value)
