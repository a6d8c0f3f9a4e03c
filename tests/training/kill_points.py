"""Points at which a process of the command line dies by SIGKILL:

step:37   after 37 training steps of this process
file:12   at the 12th time that Python opens, renames or removes something in the run's folder
save:1    in the first checkpoint write, when its weights are half on disk

`file` covers every moment between two operations of a checkpoint, the card or the metrics.
"""

import os
import signal
import sys


def arm(point: str) -> None:
    """Let this process die at a point."""
    kind, _, number = point.partition(":")
    left = int(number)

    def count():
        """Die when it has been called as often as asked for."""
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted_step(make):
        def make_counted(*args, **options):
            step = make(*args, **options)

            def train_step(*batches):
                result = step(*batches)
                count()
                return result

            return train_step

        return make_counted

    def half_written(sync):
        def cut(path):
            if path.name.startswith("weights.data"):
                os.truncate(path, path.stat().st_size // 2)
                count()
            sync(path)

        return cut

    def watch(event, args):
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") and "runs/" in str(args[0]):
            count()

    if kind == "step":
        from larqnets.training import loop

        loop.make_train_step = counted_step(loop.make_train_step)
    elif kind == "save":
        from larqnets.runs import checkpoints

        checkpoints._sync = half_written(checkpoints._sync)
    elif kind == "file":
        sys.addaudithook(watch)
    else:
        raise ValueError(point)
