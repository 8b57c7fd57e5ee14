"""torchrun, as the launcher starts it: it ends with the launcher, and its ranks end with it.

`python -m longtail.training.launch.torchrun_agent <arguments of torchrun>`. Nobody is told when a
process is killed with SIGKILL. So the kernel is asked beforehand to kill the children, too: ranks
that train on without a launcher would write into the folder of the run that replaces theirs.
"""

import ctypes
import os
import signal
import sys

_PARENT = "LONGTAIL_PARENT_PID"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def child_environment() -> dict[str, str]:
    """What a child process needs in its environment to call `end_with_parent`."""
    return {_PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """Have this process killed as soon as the process that started it has ended.

    Raises:
        SystemExit: that has happened already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")
    # It may have ended before we asked; then we have been given to another parent.
    if os.getppid() != int(os.environ.get(_PARENT, os.getppid())):
        sys.exit("the process that started this one has ended")


def main() -> None:
    """Become torchrun."""
    end_with_parent()
    os.environ.update(child_environment())
    from torch.distributed.run import main as torchrun

    torchrun()


if __name__ == "__main__":
    main()
