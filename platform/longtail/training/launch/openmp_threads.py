"""How the threads of torch's operators wait for one another."""

from collections.abc import Mapping

# In units of the processor's pause instruction: some tens of microseconds.
_SPINS = "1000"


def waiting(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to a process's environment before it imports torch, for GNU's OpenMP.

    Between two operators a thread spins a little, then sleeps. Waking a sleeping one costs a
    tenth of a step. One that spins as long as OpenMP has it by default starves the batch builder
    and whatever else runs: beside other work that made a step six times slower.

    Args:
        environment: what the process has so far. Who says there how to wait is obeyed.
    """
    if "OMP_WAIT_POLICY" in environment or "GOMP_SPINCOUNT" in environment:
        return {}
    return {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": _SPINS}
