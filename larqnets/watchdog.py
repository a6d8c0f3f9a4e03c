"""What a process started and made for itself, ended and removed when that process was killed and could not do it.

Run as a program with a pipe as stdin, in a session of its own, so that no signal to a group reaches it. The pipe says, one
JSON array a line: ["child", pid], the leader of a process group, and ["folder", path]; ["done", what] when it is over. The
pipe ends with the process that writes it, however that ends. Standard library alone: it starts in milliseconds.
"""

import contextlib
import json
import os
import shutil
import signal
import sys


def main() -> None:
    """Take note until the pipe ends, then end the groups and remove the folders that are left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # its end is that of the pipe
    children: set[int] = set()
    folders: set[str] = set()
    for line in sys.stdin.buffer:
        kind, what = json.loads(line)
        if kind == "child":
            children.add(what)
        elif kind == "folder":
            folders.add(what)
        else:
            children.discard(what)
            folders.discard(what)
    for child in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
