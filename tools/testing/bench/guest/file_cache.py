# SPDX-License-Identifier: GPL-2.0
"""Prints how many bytes of the root's regular files are in the guest's page cache.

mincore(2) says it for each page of a file. Pages that DAX maps belong to the segment and are not in the
page cache. "Cached" in /proc/meminfo will not do: directories and symbolic links are in there too.
"""

import ctypes
import mmap
import os
import stat

PAGE_BYTES = mmap.PAGESIZE

libc = ctypes.CDLL(None, use_errno=True)
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


def cached_bytes(path, size_bytes):
    """Returns the number of bytes of one file in the page cache, whole pages."""
    with open(path, "rb") as file:
        # A private writable mapping is the only one whose address ctypes gives; nothing is written.
        mapping = mmap.mmap(file.fileno(), size_bytes, mmap.MAP_PRIVATE)
    pages = -(-size_bytes // PAGE_BYTES)
    answer = ctypes.create_string_buffer(pages)
    window = ctypes.c_char.from_buffer(mapping)
    if libc.mincore(ctypes.addressof(window), size_bytes, answer) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), path)
    del window
    mapping.close()
    return PAGE_BYTES * sum(page & 1 for page in answer.raw)


def main():
    """Adds up all regular files of the root file system, each inode once."""
    device = os.stat("/").st_dev
    seen = set()
    total_bytes = 0
    for directory, subdirectories, names in os.walk("/"):
        subdirectories[:] = [name for name in subdirectories
                             if os.lstat(os.path.join(directory, name)).st_dev == device]
        for name in names:
            path = os.path.join(directory, name)
            state = os.lstat(path)
            if stat.S_ISREG(state.st_mode) and state.st_size > 0 and state.st_ino not in seen:
                seen.add(state.st_ino)
                total_bytes += cached_bytes(path, state.st_size)
    if not seen:
        raise SystemExit("the root holds no files")
    print(len(seen), total_bytes)


if __name__ == "__main__":
    main()
