"""Writes cpu.txt and cuda.txt anew, from the dependencies in pyproject.toml.

    .venv/bin/python ops/requirements/lock.py                      # keep what is locked
    .venv/bin/python ops/requirements/lock.py --upgrade feast rich # let these move
    .venv/bin/python ops/requirements/lock.py --upgrade-all

pip resolves the whole closure without installing or downloading wheels (about a minute). It does so
once, with CUDA, because that is what the metadata of TorchRec and torch describe. The CPU lock is
the same closure without CUDA's packages and with FBGEMM's CPU build, so the two cannot drift apart.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
CUDA_ONLY = re.compile(r"nvidia-.*|cuda-.*|triton")
# The two builds of an FBGEMM release have the same metadata, so one can replace the other.
CPU_NAME = {"fbgemm-gpu": "fbgemm-gpu-cpu"}


def normalize(name: str) -> str:
    """Return the normalised name of a package (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_requirements() -> list[str]:
    """Return the direct requirements, for runtime and development."""
    project = tomllib.loads((HERE.parent.parent / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    # `===` matches only PyPI's build, not a local "+cpu" one that pip's configuration may offer.
    return [re.sub(r"^torch==", "torch===", requirement) for requirement in asked]


def read_pins() -> dict[str, str]:
    """Return name -> version of the CUDA lock as it is now."""
    lock = HERE / "cuda.txt"
    lines = lock.read_text().splitlines() if lock.exists() else []
    pins = (tuple(re.split("===?", line)) for line in lines if line and not line.startswith("#"))
    return dict(pins)


def resolve(requirements: list[str], pins: dict[str, str]) -> dict[str, str]:
    """Return name -> version of all that pip would install for this Python and platform."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        venv.create(work / "venv", with_pip=True)
        python = work / "venv" / "bin" / "python"
        # Older releases of pip download wheels in a dry run.
        subprocess.check_call([python, "-m", "pip", "install", "-q", "--upgrade", "pip>=26.3"])
        (work / "asked.txt").write_text("\n".join(requirements))
        (work / "pins.txt").write_text("".join(f"{n}=={v}\n" for n, v in pins.items()))
        command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        options = ["--only-binary=:all:", "--use-feature=fast-deps"]
        files = ["-r", work / "asked.txt", "-c", work / "pins.txt"]
        report = work / "report.json"
        subprocess.check_call([*command, *options, *files, "--report", report])
        install = json.loads(report.read_text())["install"]
    found = (package["metadata"] for package in install)
    return {normalize(package["name"]): package["version"] for package in found}


def write_lock(name: str, about: str, packages: dict[str, str]) -> None:
    """Write one lock file. CUDA's torch gets `===`, for the reason in `read_requirements`."""
    header = f"# {about}\n# Written by ops/requirements/lock.py; see README.md beside this file.\n"
    lines = (
        f"{package}{'===' if (name, package) == ('cuda.txt', 'torch') else '=='}{version}\n"
        for package, version in sorted(packages.items())
    )
    (HERE / name).write_text(header + "".join(lines))


def main() -> None:
    """Read the command line, resolve, and write both locks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--upgrade", nargs="*", default=[], metavar="PACKAGE")
    parser.add_argument("--upgrade-all", action="store_true")
    options = parser.parse_args()
    if sys.platform != "linux":
        sys.exit("lock.py: run it on Linux x86-64, the platform that CUDA's packages are for")
    moving = {normalize(name) for name in options.upgrade}
    pins = {} if options.upgrade_all else read_pins()
    cuda = resolve(read_requirements(), {n: v for n, v in pins.items() if n not in moving})
    cpu = {CPU_NAME.get(n, n): v for n, v in cuda.items() if not CUDA_ONLY.fullmatch(n)}
    write_lock("cuda.txt", "The whole closure with PyPI's CUDA build of torch. Linux x86-64.", cuda)
    write_lock("cpu.txt", "The whole closure for machines without a GPU. Linux.", cpu)


if __name__ == "__main__":
    main()
