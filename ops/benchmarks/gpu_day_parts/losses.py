"""The losses of a small training on the device against those on the CPU, from equal weights."""

from gpu_day_parts.day import Day, Failed
from gpu_day_parts.small_training import (
    CPU,
    Size,
    Training,
    device_of,
    free_memory,
    largest_difference,
    one_rank,
    synthetic_work,
    tiny,
)

from longtail.errors import InputError

# The allowed relative difference of a step's loss. bfloat16 is reported, and has none.
BOUND = 1e-4


def measure(day: Day) -> None:
    """Train the same steps three times: on the CPU, and on the device in float32 and bfloat16.

    Raises:
        Failed: in float32 a loss differs by more than `BOUND`.
    """
    device = device_of(day.device_type)
    steps = 100
    size = (
        Size(0.05, dim=64, items=20_000, batch_size=1024, num_batches=50)
        if day.on_gpu
        else tiny(50)
    )
    work = synthetic_work(size, products="float32")
    with one_rank(CPU):
        training = Training(work, CPU)
        start = {name: tensor.clone() for name, tensor in training.tensors().items()}
        batches = training.ready(steps)
        wanted = training.train(batches)
        del training
    day.record(num_steps=steps, first_loss=wanted[0], last_loss=wanted[-1])
    day.say(f"losses on the CPU: {wanted[0]:.4f} to {wanted[-1]:.4f}")
    failures = []
    for products in ("float32", "bfloat16"):
        chosen = synthetic_work(size, products=products)
        with one_rank(device):
            try:
                training = Training(chosen, device)
            except InputError as reason:
                day.record(**{f"{products}_skipped": str(reason)})
                continue
            # A GPU draws other random numbers, so the weights of the CPU are copied.
            for name, tensor in training.tensors().items():
                tensor.copy_(start[name])
            losses = training.train(training.ready(steps))
            del training
        free_memory(device)
        difference = largest_difference(losses, wanted)
        day.record(**{f"{products}_difference": difference, f"{products}_last_loss": losses[-1]})
        day.say(f"{products}: largest relative difference {difference:.1e}")
        if products == "float32" and not difference <= BOUND:
            failures.append(f"losses differ by {difference:.1e} in float32, allowed is {BOUND:g}")
    if failures:
        raise Failed("; ".join(failures))
