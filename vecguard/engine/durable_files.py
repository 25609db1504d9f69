"""File operations whose result survives a crash: atomic replacement, sparse tree copies, syncing.

Everything here blocks and releases the GIL inside its system calls, so callers on an event loop run it in a thread.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

_COPY_CHUNK = 64 * 1024 * 1024


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: after a crash the file holds either the old or the new bytes, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a folder's entries (creations, renames, removals) durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Write every dirty page of every file under `folder` to disk, then the folders themselves.

    Pages dirtied through another process's or library's shared mapping of the same file are included. Files that
    vanish meanwhile are skipped: whoever removed them no longer needs them.
    """
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                descriptor = os.open(os.path.join(root, name), os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        try:
            sync_folder(Path(root))
        except FileNotFoundError:
            continue


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder, keeping holes in sparse files (write-ahead logs are preallocated and mostly holes).

    Raises:
        FileExistsError: `target` is there already.
    """
    target.mkdir()
    for entry in os.scandir(source):
        if entry.is_dir(follow_symlinks=False):
            copy_tree(source / entry.name, target / entry.name)
        else:
            _copy_sparse_file(source / entry.name, target / entry.name)


def remove_tree(folder: Path) -> None:
    """Remove a folder and everything in it; a folder that is not there is fine."""
    shutil.rmtree(folder, ignore_errors=True)


def _copy_sparse_file(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        os.truncate(writer.fileno(), size)
        offset = 0
        while offset < size:
            try:
                start = os.lseek(reader.fileno(), offset, os.SEEK_DATA)
            except OSError as failure:
                if failure.errno == errno.ENXIO:  # only a hole is left
                    return
                raise
            offset = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            _copy_range(reader.fileno(), writer.fileno(), start, offset)


def _copy_range(reader: int, writer: int, start: int, end: int) -> None:
    position = start
    while position < end:
        count = min(_COPY_CHUNK, end - position)
        try:
            copied = os.copy_file_range(reader, writer, count, position, position)
        except OSError as failure:
            if failure.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            copied = os.pwrite(writer, os.pread(reader, min(count, 1 << 20), position), position)
        if copied == 0:  # the file was shortened while it was copied
            return
        position += copied
