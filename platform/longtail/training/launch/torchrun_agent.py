"""torchrun, as the launcher starts it: it ends with the launcher, and its ranks end with it.

`python -m longtail.training.launch.torchrun_agent <arguments of torchrun>`. A process that is
killed with SIGKILL cannot tell its children. So each child asks the kernel beforehand to be killed
as well. Otherwise ranks without a launcher would write into the folder of the run that replaces
theirs.
"""

import ctypes
import os
import signal
import sys

_PARENT = "LONGTAIL_PARENT_PID"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def child_environment() -> dict[str, str]:
    """Return what a child process needs in its environment to call `end_with_parent`."""
    return {_PARENT: str(os.getpid())}


def end_with_parent() -> None:
    """Have this process killed as soon as the process that started it ends.

    Raises:
        OSError: the kernel refused.
        SystemExit: the process that started it has ended already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")
    # If the parent ended before the request, this process has another parent now.
    if os.getppid() != int(os.environ.get(_PARENT, os.getppid())):
        sys.exit("the process that started this one has ended")


def main() -> None:
    """Become torchrun."""
    end_with_parent()
    # The ranks do the same with this process.
    os.environ.update(child_environment())
    from torch.distributed.run import main as torchrun

    torchrun()


if __name__ == "__main__":
    main()
