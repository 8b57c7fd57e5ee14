"""Picks the ratios and the main figures out of the results of the parts."""

from typing import Any

# The ratios that are printed: label, part, and figure.
_RATIOS = (
    ("losses_float32_difference", "losses", "float32_difference"),
    ("losses_bfloat16_difference", "losses", "bfloat16_difference"),
    ("resumed_difference", "resume", "difference"),
    ("vs_pytorch_sparse", "plain_pytorch", "vs_sparse"),
    ("vs_pytorch_dense", "plain_pytorch", "vs_dense"),
    ("vs_pytorch_sparse_ready_batches", "plain_pytorch", "vs_sparse_ready_batches"),
    ("vs_pytorch_dense_ready_batches", "plain_pytorch", "vs_dense_ready_batches"),
)
_OF_POINT = ("lookup_bandwidth", "update_bandwidth", "memory_over_tables")
_MEASURED_OF_POINT = ("examples_per_second", "examples_per_second_ready_batches")


def ratios_and_measured(
    parts: dict[str, dict[str, Any]],
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the ratios and the measured figures by label.

    Args:
        parts: the results of the parts, by name. A part that did not get to a figure lacks it.
    """
    figures = {name: result["figures"] for name, result in parts.items()}
    ratios: dict[str, float] = {}
    measured: dict[str, float] = {}
    for label, part, name in _RATIOS:
        value = figures.get(part, {}).get(name)
        if isinstance(value, float):
            ratios[label] = value
    speed = figures.get("speed", {})
    for point, values in speed.get("points", {}).items():
        ratios |= {f"{name}_{point}": values[name] for name in _OF_POINT if name in values}
        measured |= {f"{n}_{point}": values[n] for n in _MEASURED_OF_POINT if n in values}
    ratios |= {f"ssl_cost_{point}": v for point, v in speed.get("ssl_cost", {}).items()}
    demo = figures.get("demo", {})
    for name in ("examples_per_second", "recall@50"):
        if name in demo:
            measured[f"demo_{name}"] = demo[name]
    return ratios, measured
