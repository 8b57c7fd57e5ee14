"""Proves and measures training on a GPU in one sitting of some minutes.

    python ops/benchmarks/gpu_day.py --out DIR
    python ops/benchmarks/gpu_day.py --out DIR --training-set runs/2025-08-09/training_set
    python ops/benchmarks/gpu_day.py --out DIR --device cpu        # tiny sizes, as CI runs it
    longtail bench gpu_day --out DIR

The parts run in order of worth, each in a process of its own and within a time limit, so that a
crash or a hang costs that part alone. When a part ends, `DIR/<part>.json` has its status (`ok`,
`skipped`, `failed` or `out of time`), its seconds, its figures and the last lines of its error;
`DIR/summary.json` has all parts so far. A part that fails or is ended keeps the figures it had.
Without `--out`, DIR is `gpu_day_results` in the current folder.

    environment     card, driver, versions, bfloat16, the bandwidth of a device copy
    kernels         every kernel of longtail.model.kernels against its plain reference
    losses          losses of a small training, device against CPU, in float32 and bfloat16
    no_sync         steps in which the host must not wait for the GPU
    resume          save while training, restore, go on: equal losses
    demo            trains the encoded training set of `--training-set`; recall@50 on its test part
    speed           examples/s, lookup and update bandwidth, memory, by table and batch size
    plain_pytorch   the same training in plain PyTorch on the same device
    profile         the 20 kernels that take most time, and a trace

It needs torch, FBGEMM, TorchRec, numpy, pyarrow, pydantic, PyYAML, rich and safetensors, and no
duckdb, feast, faiss, dagster, pandas or ibis. `longtail` is imported from `PYTHONPATH`, or is
installed. `gpu_day_parts/demo.py` says how a training set is packed.
"""

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from gpu_day_parts.children import Child
from gpu_day_parts.day import PARTS
from gpu_day_parts.ratios import ratios_and_measured

# Time that is kept at the end for killing a part and writing the summary.
_RESERVE_SECONDS = 3.0


def run_parts(options: argparse.Namespace) -> dict[str, Any]:
    """Run the parts that are wanted, and write the result of each. Return the summary."""
    started = time.monotonic()
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [part for part in PARTS if options.only is None or part.name in options.only]

    def start(number: int) -> Child | None:
        if number >= len(wanted):
            return None
        return Child(wanted[number], options.device, folder, options.training_set)

    results: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    child, waiting = start(0), None
    for number, part in enumerate(wanted):
        left = options.seconds - (time.monotonic() - started) - _RESERVE_SECONDS
        seconds = min(left, part.share * options.seconds)
        if seconds < 1.0:
            results[part.name] = _not_begun(part.name)
        else:
            _say(f"{part.name} (at most {seconds:.0f} s)")
            # The next one imports torch while this one runs.
            waiting = start(number + 1)
            assert child is not None
            results[part.name] = child.run(seconds)
            child = waiting
        result = results[part.name]
        _say(f"{part.name}: {result['status']}, {result['seconds']:.1f} s")
        for line in result.get("error", result.get("reason", [])):
            _say(f"    {line}")
        _write(folder / f"{part.name}.json", result)
        summary = {
            "device": options.device,
            "seconds": round(time.monotonic() - started, 2),
            "seconds_allowed": options.seconds,
            "status": {name: each["status"] for name, each in results.items()},
            "parts": results,
        }
        _write(folder / "summary.json", summary)
        if _has_no_device(result):
            break
    if child is not None:
        child.end()
    return summary


def _not_begun(name: str) -> dict[str, Any]:
    error = ["the whole time was over before this part began"]
    return {"part": name, "status": "out of time", "seconds": 0.0, "figures": {}, "error": error}


def _has_no_device(result: dict[str, Any]) -> bool:
    """Return whether the environment says that there is no GPU: no other part can run then."""
    return result["part"] == "environment" and result["figures"].get("cuda") is False


def _write(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file in one step, so that a reader never sees half of it."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(document, indent=2, default=str) + "\n")
    temporary.replace(path)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def report(summary: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return the summary as every benchmark prints it (see `report.Report`)."""
    environment = summary["parts"].get("environment", {}).get("figures", {})
    ratios, measured = ratios_and_measured(summary["parts"])
    return {
        "name": "gpu_day",
        "ratios": ratios,
        "settings": {
            "device": options.device,
            "seconds_allowed": options.seconds,
            **{name: environment[name] for name in ("card", "versions") if name in environment},
            "cores": os.cpu_count(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
        "measured": {
            **{f"{name}, status": status for name, status in summary["status"].items()},
            **measured,
        },
    }


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--out", type=Path, default=Path("gpu_day_results"), help="folder of the results"
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=480.0, help="the whole time")
    parser.add_argument(
        "--only", nargs="+", choices=[part.name for part in PARTS], help="run only these parts"
    )
    parser.add_argument("--training-set", type=Path, help="folder of an encoded training set")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the day. The exit code is 1 if a part failed or ran out of time."""
    options = parse()
    # Forked and spawned children find our modules as this process does.
    here = Path(__file__).resolve().parent
    paths = [str(here), str(here.parents[1] / "platform"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    sys.path[:0] = paths[:2]
    options.out = options.out.resolve()
    summary = run_parts(options)
    document = report(summary, options)
    if options.json:
        print(json.dumps(document, default=str))
    else:
        for title in ("ratios", "measured", "settings"):
            print(f"{title}:")
            for label, value in document[title].items():
                print(f"  {label:44} {f'{value:.4g}' if isinstance(value, float) else value}")
    bad = [name for name, status in summary["status"].items() if status not in ("ok", "skipped")]
    if bad:
        sys.exit(
            f"gpu_day: not ok: {', '.join(bad)}; {options.out / 'summary.json'} has the errors"
        )


if __name__ == "__main__":
    main()
