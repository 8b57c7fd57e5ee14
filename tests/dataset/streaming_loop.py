"""Algorithm 2 of Yi et al. 2019, one occurrence after another."""

from longtail.dataset.sampler import ExampleSampler


def streaming_loop(
    item_of_example: list[int],
    num_items: int,
    *,
    global_batch: int,
    rate: float,
    seed: int,
    num_steps: int,
) -> list[list[float]]:
    """Return, after each step, how often every item is expected in a global batch.

    B <- (1 - rate) B + rate (t - A) for every occurrence; A <- t after the step. The c occurrences
    of a step have no order, so each of them has the interval (t - A) / c.
    """
    last = [0] * num_items
    interval = [num_items / global_batch] * num_items
    num_examples = len(item_of_example)
    steps_per_epoch = (num_examples + global_batch - 1) // global_batch
    sampler = ExampleSampler(num_examples, global_batch, 1, 0, seed)
    history = []
    for step in range(num_steps):
        epoch, place = step // steps_per_epoch, step % steps_per_epoch
        order = sampler.epoch_order(epoch).tolist()
        batch = [
            item_of_example[example]
            for example in order[place * global_batch : (place + 1) * global_batch]
        ]
        now = step + 1
        waited = {item: (now - last[item]) / batch.count(item) for item in batch}
        for item in batch:
            interval[item] = (1 - rate) * interval[item] + rate * waited[item]
            last[item] = now
        history.append([1 / one for one in interval])
    return history
