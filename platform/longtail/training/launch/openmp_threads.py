"""Settings for the time in which torch's operator threads wait for one another."""

from collections.abc import Mapping

# In pause instructions of the processor. Together they take some tens of microseconds.
_SPINS = "1000"


def waiting(environment: Mapping[str, str]) -> dict[str, str]:
    """Return settings for GNU's OpenMP, to add to an environment before torch is imported.

    With them a thread spins a little between two operators, then sleeps. Waking a sleeping thread
    costs a tenth of a step. A thread that spins for OpenMP's default time starves the batch builder
    and other processes: beside other work, a step took six times as long.

    Args:
        environment: the process's environment so far. If it says how to wait, that is kept, and
            the result is empty.
    """
    if "OMP_WAIT_POLICY" in environment or "GOMP_SPINCOUNT" in environment:
        return {}
    return {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": _SPINS}
