"""Files: written whole or not at all, locked while somebody works on them."""

import contextlib
import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None

from larqnets.errors import LarqnetsError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) so that a crash at any moment leaves the old or the new file, never half of one.

    Raises LarqnetsError when the folder cannot be written or the disk is full; the old file is then unchanged.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.writing")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # the folder itself may be what is missing
            temporary.unlink()
        raise cannot_write(path, error) from error


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut; only POSIX systems can open a folder for that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def cannot_write(path: Path, error: OSError) -> LarqnetsError:
    """Return the error to raise when `path` could not be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    remedy = "Free some space" if full else f"Check that {path.parent} exists and is writable"
    return LarqnetsError(
        f"Cannot write {path}: {error.strerror or error}. {remedy}, and run the command again; what was there is unchanged."
    )


def lock(descriptor: int, kind: int) -> bool:
    """Lock an open file if nobody else has it, or if its file system knows no locks; closing the file releases it."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    return True
