"""Files: written whole or not at all, locked while somebody works on them, cleared of what a killed process left.

What is being written lies beside its place as `.larqnets-<16 hexadecimal digits>.writing`, a file or a folder, locked by
its writer until it is renamed. One that nobody holds was left by a process that was killed: the next writer removes it.
A file system without locks cannot tell, and nothing is removed there.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None

from larqnets.errors import LarqnetsError
from larqnets.reporter import Reporter

_UNFINISHED = re.compile(r"\.larqnets-[0-9a-f]{16}\.writing")
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would change line ends
_MAX_LINKS = 40
_POLL_S = 0.05


Descriptor = TypeVar("Descriptor", bound=int | None)


class BusyError(LarqnetsError):
    """Another process works on the file."""


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) so that a crash at any moment leaves the old or the new file, never half of one.

    A file that is there keeps its permissions; a new one gets those of the umask. A link stays and the file that it names
    is written. What is no regular file (/dev/null, a FIFO, /dev/stdout) is written through, not replaced; a folder and a
    disk are refused. Two writers at once: one of the two contents, whole. Raises LarqnetsError when the folder cannot be
    written or the disk is full; the old file is then unchanged.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        target = _follow(path)
        if _is_stream(target):
            _write_through(target, data)
            return
        remove_leftovers(target.parent)
        descriptor, beside = _create(target.parent, _new_file)
        with os.fdopen(descriptor, "wb") as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
                if fcntl is None:
                    file.close()  # Windows renames no open file; elsewhere it is open, and locked, until it has its name
                take_place(beside, target)
            except BaseException:
                with contextlib.suppress(OSError):  # the disk may be gone
                    beside.unlink()
                raise
        sync_folder(target.parent)
    except OSError as error:
        raise cannot_write(path, error) from error


@contextlib.contextmanager
def building_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent` for what is renamed when it is whole; what is left of it is removed after the block.

    Such folders of killed processes are removed before. Raises OSError when it cannot be made.
    """
    remove_leftovers(parent)
    descriptor, folder = _create(parent, _new_folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def take_place(new: Path, old: Path) -> None:
    """Rename `new` to `old`; a regular file that is there hands on its permissions, and its owner where that is allowed."""
    before = None
    with contextlib.suppress(FileNotFoundError):
        before = old.lstat()
    if before is not None and stat.S_ISREG(before.st_mode):
        mine = new.lstat()
        if (before.st_uid, before.st_gid) != (mine.st_uid, mine.st_gid):
            with contextlib.suppress(PermissionError):
                os.chown(new, before.st_uid, before.st_gid)
        new.chmod(before.st_mode & 0o777)
    new.replace(old)


def leftovers(folder: Path) -> Iterator[Path]:
    """Yield what killed writers left in `folder`, files and folders; each is locked until the next one is asked for."""
    if fcntl is None:
        return
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if _UNFINISHED.fullmatch(entry.name))
    for name in names:
        try:
            descriptor = os.open(folder / name, os.O_RDONLY | os.O_NONBLOCK | _NOFOLLOW)
        except OSError:  # renamed by now, or somebody else's
            continue
        try:
            mode = os.fstat(descriptor).st_mode
            if (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and _try_lock(descriptor):
                yield folder / name
        finally:
            os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in `folder`; what may not be removed stays."""
    for path in leftovers(folder):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def locked(path: Path, reporter: Reporter | None = None) -> Iterator[None]:
    """Keep other processes out of the block that works on the file `path`, with a lock file beside it.

    When another one is in it: the process waits, which `reporter` is told once; without one BusyError is raised. The system releases the lock of a process that ends, however it ends. Nothing is locked on Windows and where
    `path` is no regular file.
    """
    try:
        target = _follow(path)
        held: tuple[Path, int] | None = None
        if fcntl is not None and not _is_stream(target):
            file = target.with_name(f".{target.name}.lock")
            held = file, _lock_file(file, path, reporter)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield
    finally:
        if held is not None:
            file, descriptor = held
            with contextlib.suppress(OSError):
                file.unlink()  # while it is locked: whoever waits for it sees that it is gone and makes a new one
            os.close(descriptor)


def _lock_file(file: Path, path: Path, reporter: Reporter | None) -> int:
    """Return the descriptor of the lock file, locked."""
    told = False
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | _NOFOLLOW, 0o666)
        try:
            if lock(descriptor) and _is_at(descriptor, file):
                with contextlib.suppress(OSError):  # a full disk must not keep anybody from locking
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, f"{os.getpid()}\n".encode())
                return descriptor
            who = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "not known"
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if reporter is None:
            raise BusyError(
                f"{path} is being written by another process (PID {who}). Wait for it, or choose another file."
            )
        if not told:
            reporter.stage(f"{path} is being written by another process (PID {who}): waiting for it")
            told = True
        time.sleep(_POLL_S)


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock an open file if nobody else has it, or if its file system knows no locks; closing the file releases it.

    A `shared` lock lets others have one too.
    """
    return _try_lock(descriptor, shared) is not False


def _try_lock(descriptor: int, shared: bool = False) -> bool | None:
    """Return whether the file is now locked; None when the system or its file system knows no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        # EBADF: NFS locks nothing that was opened for reading
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF):
            raise
        return None
    return True


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


def _create(folder: Path, make: Callable[[Path], Descriptor]) -> tuple[Descriptor, Path]:
    """Make a file or folder with a new name in `folder`; returns its descriptor, locked, and its path."""
    while True:
        path = folder / f".larqnets-{secrets.token_hex(8)}.writing"
        descriptor = make(path)
        if fcntl is None:
            return descriptor, path
        if descriptor is not None:
            if lock(descriptor) and _is_at(descriptor, path):
                return descriptor, path
            os.close(descriptor)  # another process saw it before it was locked, took it for a leftover and removed it


def _new_file(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _BINARY, 0o666)


def _new_folder(path: Path) -> int | None:
    path.mkdir()
    if fcntl is None:
        return None
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | _NOFOLLOW)
    except FileNotFoundError:
        return None


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether `path` still names the open file."""
    try:
        there = path.lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _follow(path: Path) -> Path:
    """Return the absolute path that `path` stands for once links are followed, up to one in /proc, an open file of a process.

    Raises OSError for links in a circle.
    """
    for _ in range(_MAX_LINKS):
        path = Path(os.path.realpath(path.parent), path.name)
        if _is_open_file(path) or not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_open_file(place: Path) -> bool:
    return place.is_relative_to("/proc")  # where /dev/stdout leads


def _is_stream(place: Path) -> bool:
    """Return whether what `_follow` found is written through; raises OSError for a folder and a disk."""
    if _is_open_file(place):
        return True
    try:
        mode = place.lstat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISBLK(mode):
        raise PermissionError(errno.EPERM, "It is a disk")
    return not stat.S_ISREG(mode)


def _write_through(place: Path, data: bytes) -> None:
    """Write into a device, a FIFO or an open file of a process, as a shell's `>` does."""
    try:
        if place.parent == Path(f"/proc/{os.getpid()}/fd"):
            if sys.stdout is not None:
                sys.stdout.flush()
            descriptor = os.dup(int(place.name))  # opened anew, a file would be written from its start
        else:
            descriptor = os.open(place, os.O_WRONLY | os.O_TRUNC | getattr(os, "O_NOCTTY", 0))
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        raise LarqnetsError(
            f"Cannot write to {place}: {error.strerror or error}. It is no regular file: name one, or mend what reads it."
        ) from error


def check_output(path: Path | None, suffixes: Sequence[str] = ()) -> None:
    """Look whether a file could be written: its suffix, and the folder that it goes into, which must be there."""
    if path is None:
        return
    if suffixes and path.suffix not in suffixes:
        raise LarqnetsError(
            f"{path} names no kind of file that is written here. Let it end in {' or '.join(suffixes)}."
        )
    if path.is_dir():
        raise LarqnetsError(f"{path} is a folder. Name a file in it.")
    if not path.parent.is_dir():
        raise LarqnetsError(f"Cannot write {path}: there is no folder {path.parent}. Make it, or name another one.")
    if not os.access(path.parent, os.W_OK | os.X_OK) and not os.access(path, os.W_OK):
        raise LarqnetsError(f"Cannot write {path}: {path.parent} is not writable. Name another place.")


def check_folder(path: Path) -> None:
    """Look whether files could be written into a folder, which is made where there is none."""
    there = next((p for p in (path, *path.parents) if p.exists() or p.is_symlink()), Path())
    if not there.is_dir():
        raise LarqnetsError(f"Cannot write {path}: {there} is no folder. Name another place.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise LarqnetsError(f"Cannot write {path}: {there} is not writable. Name another place.")
