"""Makes the environment that the lock describes: all of `make install`.

    python3 ops/requirements/install.py --venv .venv --accelerator auto

It uses only the standard library, and only syntax that an older Python can read, so that an older
one can say which version is needed. A second call finds the stamp of the first and does nothing. A
call after an interrupted one goes on from there.
"""

import argparse
import hashlib
import pathlib
import platform
import subprocess
import sys

OLDEST_PYTHON = (3, 11)
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
IMPORTS = "import dagster, duckdb, faiss, fbgemm_gpu, feast, pyarrow, torch, torchrec"


class InstallError(Exception):
    """The set-up stopped; the message says why, and what to do about it."""


def say(message):
    """Print a line of progress."""
    print("install: " + message, flush=True)


def succeeds(*command):
    """Return whether a command exists and exits with 0. Its output is discarded."""
    try:
        quiet = subprocess.DEVNULL
        return subprocess.call(command, stdout=quiet, stderr=quiet) == 0
    except OSError:
        return False


def lock_file(accelerator):
    """Return the lock for an accelerator; `auto` is CUDA if `nvidia-smi` works, else the CPU."""
    if accelerator == "auto":
        has_gpu = platform.machine() == "x86_64" and succeeds("nvidia-smi")
        accelerator = "cuda" if has_gpu else "cpu"
    return HERE / (accelerator + ".txt")


def read_lock(lock):
    """Return [(name, version)] of a lock file, in its order."""
    lines = (line.split("#")[0].strip() for line in lock.read_text().splitlines())
    return [tuple(line.replace("===", "==").split("==")) for line in lines if line]


def stamp_key(lock, python):
    """Return a hash of what the environment depends on.

    That includes the place of the checkout, because an editable install points at it.
    """
    key = hashlib.sha256()
    version = subprocess.check_output([str(python), "-VV"])
    for part in (lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), bytes(ROOT), version):
        key.update(hashlib.sha256(part).digest())
    return f"{lock.name} {key.hexdigest()}\n"


def make_environment(venv):
    """Return the environment's Python, and make the environment first if there is none."""
    python = venv / "bin" / "python"
    if succeeds(str(python), "-m", "pip", "--version"):
        return python
    was_made = (venv / "pyvenv.cfg").exists()
    if venv.exists() and not was_made and any(venv.iterdir()):
        raise InstallError(
            f"{venv} exists and is not a Python environment. Choose another: make VENV=..."
        )
    say(f"making {venv} with Python {platform.python_version()}")
    # `--clear` only touches an environment that an interrupted call left without pip.
    command = [sys.executable, "-m", "venv"] + (["--clear"] if was_made else []) + [str(venv)]
    if subprocess.call(command) != 0:
        raise InstallError(
            "`python -m venv` failed. Debian and Ubuntu keep it in a package of its own: "
            "apt-get install python3-venv"
        )
    return python


def pip_install(python, *arguments):
    """Run `pip install`, and return whether it succeeded.

    Dependencies are never installed: the lock is the whole closure.
    """
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    return subprocess.call([*command, "--no-deps", *arguments]) == 0


def install_cpu_torch(python, version, index):
    """Install the CPU build of torch, from pip's own configuration, or else from PyTorch's index.

    Asking for the local version "+cpu" keeps CUDA away: an index without the CPU build answers at
    once that there is none, and nothing is downloaded.
    """
    present = (
        f"import torch as t; assert t.__version__.startswith({version!r}) and not t.version.cuda"
    )
    if succeeds(str(python), "-c", present):
        return
    build = f"torch=={version}+cpu"
    if pip_install(python, "--quiet", "--only-binary=torch", build):
        return
    say("pip's configuration has no CPU build of torch (its message above): asking " + index)
    if not pip_install(python, "--index-url", index, build):
        raise InstallError(
            f"no CPU build of torch {version}. Name an index that has it: make TORCH_CPU_INDEX=..."
        )


# Runs in the environment. A package is whole if every file in its RECORD is there in full size.
FIND_BROKEN = r"""
import csv, importlib.metadata, sys
for name, version in (line.split() for line in sys.stdin):
    try:
        found = importlib.metadata.distribution(name)
        rows = list(csv.reader((found.read_text("RECORD") or "").splitlines()))
        whole = bool(rows) and all(
            found.locate_file(path).stat().st_size == int(size) for path, _, size in rows if size
        )
    except (importlib.metadata.PackageNotFoundError, OSError):
        whole = False
    if not whole:
        print(name, version)
"""


def find_broken(python, packages):
    """Return the packages of the lock that an interrupted install left incomplete."""
    listing = "".join("{} {}\n".format(*package) for package in packages)
    found = subprocess.run(
        [str(python), "-c", FIND_BROKEN],
        input=listing,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [tuple(line.split()) for line in found.stdout.splitlines()]


def install(venv, lock, torch_cpu_index):
    """Bring an environment in line with a lock; do nothing if it is already.

    Raises:
        InstallError: a step failed. What is installed is kept for the next call.
    """
    stamp = venv / ".longtail-installed"
    python = venv / "bin" / "python"
    if stamp.exists() and python.exists() and stamp.read_text() == stamp_key(lock, python):
        return
    python = make_environment(venv)
    say(f"{venv} <- {lock.relative_to(ROOT)}")
    # From here on the environment may be incomplete, so it must not look finished.
    if stamp.exists():
        stamp.unlink()
    packages = read_lock(lock)
    # FBGEMM's two builds are packages with the same files, so the other one must go first.
    other_build = {"cpu.txt": "fbgemm-gpu", "cuda.txt": "fbgemm-gpu-cpu"}[lock.name]
    if succeeds(str(python), "-m", "pip", "show", other_build):
        subprocess.check_call([str(python), "-m", "pip", "uninstall", "--yes", other_build])
    if lock.name == "cpu.txt":
        install_cpu_torch(python, dict(packages)["torch"], torch_cpu_index)
    if not pip_install(python, "--only-binary=:all:", "--requirement", str(lock)):
        raise InstallError(
            "pip failed (its message above). What is installed is kept: run it again."
        )
    broken = find_broken(python, packages)
    if broken:
        say(
            "repairing what an interrupted install left incomplete: "
            + " ".join(name for name, _ in broken)
        )
        wanted = ["{}=={}".format(*package) for package in broken]
        if not pip_install(python, "--ignore-installed", *wanted):
            raise InstallError(f"pip failed (its message above). Remove {venv} and retry.")
    # hatchling is in the lock, so the build needs no environment of its own, and no download.
    if not pip_install(python, "--quiet", "--no-build-isolation", "--editable", str(ROOT)):
        raise InstallError("longtail itself could not be installed (pip's message above).")
    if subprocess.call([str(python), "-W", "ignore", "-c", IMPORTS]) != 0:
        raise InstallError("the environment does not import (message above): please report it.")
    unfinished = stamp.with_suffix(".tmp")
    unfinished.write_text(stamp_key(lock, python))
    unfinished.replace(stamp)
    say("done")


def main():
    """Read the command line, and install."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / ".venv")
    parser.add_argument("--accelerator", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--torch-cpu-index", default="https://download.pytorch.org/whl/cpu")
    options = parser.parse_args()
    try:
        if sys.version_info < OLDEST_PYTHON:
            raise InstallError(
                "Python {}.{} or newer is needed, and {} is {}. Name another: "
                "make PYTHON=python3.11".format(
                    *OLDEST_PYTHON, sys.executable, platform.python_version()
                )
            )
        if sys.platform != "linux":
            raise InstallError("FBGEMM has wheels only for Linux: use a Linux container.")
        install(options.venv.absolute(), lock_file(options.accelerator), options.torch_cpu_index)
    except InstallError as error:
        sys.exit("install: " + str(error))


if __name__ == "__main__":
    main()
