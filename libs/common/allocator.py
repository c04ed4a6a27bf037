"""How the C library treats freed memory, set for a process that moves bodies of megabytes (mallopt(3))."""

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # glibc's malloc.h
_SETTINGS = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 1 << 20}


def keep_freed_memory() -> bool:
    """Use freed memory again, at most 64 MiB an arena, instead of giving it back; False where libc is not glibc.

    Else each body is mapped, zeroed page by page and unmapped: with files of 530 KB that takes a quarter of the
    gateway's time and 7 % of the archiver's. Safe to repeat.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, value) == 1 for name, value in _SETTINGS.items())
