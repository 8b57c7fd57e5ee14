"""The layout of the repository: where things stand, and which package may import which.

`platform/longtail/DESIGN.md` explains the rules. Each rule about imports is a function of a
module's name and imports, and is shown sources that break it: a rule that never complains is
noticed.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

TOP_LEVEL = {
    *("README.md", "pyproject.toml", "Makefile", "LICENSE"),
    *("platform", "feature_repo", "assets", "tests", "ops"),
}
# The layers of DESIGN.md: each imports only what stands before it.
STAGES = (
    *("errors", "augmentation", "config", "artifacts", "fingerprints", "init"),
    *("features", "checks", "dataset", "correlation", "model", "encoder", "memory", "training"),
    *("evaluation", "embeddings", "serving", "report", "study", "tuning", "cli"),
)
# Seconds and hundreds of megabytes at import, which every step process of Dagster would pay again.
HEAVY = ("torch", "torchrec", "feast", "pandas")
# What a model has no business with: other ranks, and anything outside its own memory.
NOT_IN_MODEL = (
    *("torch.distributed", "torchrec.distributed", "torch.load", "torch.save"),
    *("os", "io", "pathlib", "shutil", "tempfile", "fsspec", "pickle", "safetensors"),
    *("pyarrow.parquet", "pyarrow.dataset", "pyarrow.fs", "duckdb", "longtail.artifacts"),
)


@dataclass(frozen=True)
class Import:
    """One imported name, absolute: `from torch import nn` is `torch.nn`."""

    name: str
    line: int
    at_module_level: bool

    def is_within(self, *packages: str) -> bool:
        return any(self.name == p or self.name.startswith(p + ".") for p in packages)


def find_imports(module: str, source: str, *, is_package: bool = False) -> list[Import]:
    """Every import of a source, those inside functions and by `import_module("...")` included."""

    def resolve(node: ast.ImportFrom) -> str:
        if node.level == 0:
            return node.module or ""
        above = module.split(".")
        above = above[: len(above) - node.level + (1 if is_package else 0)]
        return ".".join([*above, *([node.module] if node.module else [])])

    def names(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{resolve(node)}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            yield from (
                argument.value
                for argument in node.args[:1]
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            )

    def walk(node: ast.AST, at_module_level: bool) -> Iterator[Import]:
        for name in names(node):
            yield Import(name, getattr(node, "lineno", 0), at_module_level)
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, at_module_level and not later)

    return list(walk(ast.parse(source), at_module_level=True))


def stage_of(name: str) -> str | None:
    """`longtail.model.towers` -> `model`; None for the root package and other libraries."""
    parts = name.split(".")
    if parts[0] != "longtail" or len(parts) == 1 or parts[1].startswith("__"):
        return None
    return parts[1]


def check_direction(module: str, imports: list[Import]) -> Iterator[str]:
    if module.split(".")[0] != "longtail":
        return
    own = stage_of(module)
    if own is not None and own not in STAGES:
        yield f"{module}: `{own}` has no place in the order of the layers"
        return
    for found in imports:
        other = stage_of(found.name)
        if other is None or other == own:
            continue
        if other not in STAGES:
            yield f"{module}:{found.line} imports {found.name}, which has no place in the order"
        elif own is None or STAGES.index(other) > STAGES.index(own):
            yield f"{module}:{found.line} imports {found.name}, which comes after it"


def check_feast(module: str, imports: list[Import]) -> Iterator[str]:
    if module.startswith(("longtail.features.feast.", "feature_repo.")):
        return
    for found in imports:
        if found.is_within("feast"):
            yield f"{module}:{found.line} imports {found.name}: only features/feast/ knows Feast"


def check_dagster(module: str, imports: list[Import]) -> Iterator[str]:
    if module.split(".")[0] == "assets":
        return
    for found in imports:
        library = found.name.split(".")[0]
        if not library.startswith("dagster"):
            continue
        if (module, library) != ("longtail.training.launch.launcher", "dagster_pipes"):
            yield f"{module}:{found.line} imports {found.name}: only assets/ knows Dagster"


def check_model(module: str, imports: list[Import]) -> Iterator[str]:
    if stage_of(module) != "model":
        return
    for found in imports:
        if found.is_within(*NOT_IN_MODEL):
            yield f"{module}:{found.line} imports {found.name}: a model is a plain nn.Module"


def check_light_assets(module: str, imports: list[Import]) -> Iterator[str]:
    if module.split(".")[0] != "assets":
        return
    for found in imports:
        if found.at_module_level and found.is_within(*HEAVY):
            yield f"{module}:{found.line} imports {found.name} at module level"


Rule = Callable[[str, list[Import]], Iterator[str]]
RULES: list[Rule] = [check_direction, check_feast, check_dagster, check_model, check_light_assets]


def list_modules() -> list[tuple[str, Path]]:
    """(dotted name, file) of every module that the rules speak of."""
    sources = [(ROOT / "platform", "longtail"), (ROOT, "assets"), (ROOT, "feature_repo")]
    found = []
    for base, package in sources:
        for path in sorted((base / package).rglob("*.py")):
            parts = path.relative_to(base).with_suffix("").parts
            found.append((".".join(parts).removesuffix(".__init__"), path))
    return found


@pytest.mark.parametrize("rule", RULES)
def test_every_module_keeps_the_rule(rule: Rule) -> None:
    modules = list_modules()
    assert {name.split(".")[0] for name, _ in modules} == {"longtail", "assets", "feature_repo"}
    problems = []
    for name, path in modules:
        is_package = path.name == "__init__.py"
        problems += rule(name, find_imports(name, path.read_text(), is_package=is_package))
    assert problems == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Imports inside functions are left out: they run when both modules are there."""
    names = {name for name, _ in list_modules()}
    graph = {}
    for name, path in list_modules():
        is_package = path.name == "__init__.py"
        found = find_imports(name, path.read_text(), is_package=is_package)
        above = [i.name for i in found if i.at_module_level]
        graph[name] = {
            module
            for imported in above
            for module in (imported, imported.rpartition(".")[0])
            if module in names and module != name
        }
    done: set[str] = set()
    while ready := {n for n in graph.keys() - done if graph[n] <= done}:
        done |= ready
    assert graph.keys() - done == set()


def test_files_and_folders_stay_small() -> None:
    modules = [path for name, path in list_modules() if name.startswith("longtail")]
    long = {path.name: n for path in modules if (n := len(path.read_text().splitlines())) > 350}
    assert long == {}
    folders = [path.parent for path in modules if path.name != "__init__.py"]
    assert {folder.name for folder in folders if folders.count(folder) > 20} == set()


@pytest.mark.parametrize("stage", ["study", "tuning"])
def test_only_the_command_line_imports_studies_and_tuning(stage: str) -> None:
    importers = {
        stage_of(name)
        for name, path in list_modules()
        for found in find_imports(name, path.read_text(), is_package=path.name == "__init__.py")
        if found.is_within(f"longtail.{stage}")
    }
    assert importers == {stage, "cli"}


@pytest.mark.parametrize(
    ("rule", "module", "source"),
    [
        (check_direction, "longtail.model.towers", "import longtail.training.loop"),
        (check_direction, "longtail.model.towers", "from longtail.training.loop import run"),
        (check_direction, "longtail.model.towers", "from longtail import training"),
        (check_direction, "longtail.model.towers", "from ..training.loop import run"),
        (check_direction, "longtail.model.towers", "from .. import training"),
        (
            check_direction,
            "longtail.training.loop",
            "def f():\n    import longtail.evaluation.gate",
        ),
        (check_direction, "longtail.features.schema", "import_module('longtail.serving')"),
        (check_direction, "longtail.config", "from longtail.artifacts import Store"),
        (check_direction, "longtail.utils", "import os"),
        (check_direction, "longtail.cli", "import longtail.utils"),
        (check_direction, "longtail", "from longtail.cli import main"),
        (check_feast, "longtail.serving.lookup", "from feast import FeatureStore"),
        (check_feast, "longtail.features.schema", "from feast import Field"),
        (check_feast, "assets.items", "def f():\n    import feast.types"),
        (check_dagster, "longtail.cli", "import dagster"),
        (check_dagster, "longtail.training.loop", "import dagster_pipes"),
        (check_dagster, "longtail.training.launch.launcher", "import dagster"),
        (check_dagster, "feature_repo.items", "from dagster_graphql import x"),
        (check_model, "longtail.model.towers", "from torch import distributed"),
        (check_model, "longtail.model.towers", "import torch.distributed as dist"),
        (check_model, "longtail.model.towers", "from torchrec.distributed.types import x"),
        (check_model, "longtail.model.towers", "from pathlib import Path"),
        (check_light_assets, "assets.items", "import torch.nn"),
        (check_light_assets, "assets.items", "if True:\n    import pandas as pd"),
        (check_light_assets, "assets.items", "class A:\n    from feast import Entity"),
    ],
)
def test_a_rule_finds_what_breaks_it(rule: Rule, module: str, source: str) -> None:
    assert len(list(rule(module, find_imports(module, source)))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("longtail.training.loop", "from longtail.model.towers import Tower\nfrom . import launch"),
        ("longtail.training.launch.launcher", "from dagster_pipes import open_dagster_pipes"),
        ("longtail.features.feast.repository", "from feast import FeatureStore"),
        ("longtail.model.towers", "from torch import nn\nimport torchrec"),
        ("longtail.cli", "from longtail import __version__, serving"),
        ("assets.items", "import dagster\ndef f():\n    import torch, pandas"),
        ("assets.items", "from longtail.config import Config\nfrom longtail import serving"),
        ("feature_repo.items", "import feast"),
    ],
)
def test_the_rules_allow_what_the_design_allows(module: str, source: str) -> None:
    imports = find_imports(module, source)
    assert [problem for rule in RULES for problem in rule(module, imports)] == []


def test_a_relative_import_of_a_package_starts_at_the_package_itself() -> None:
    assert find_imports("longtail.model", "from .towers import Tower", is_package=True) == [
        Import("longtail.model.towers.Tower", 1, True)
    ]


def test_the_code_location_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys, assets.definitions\n"
        f"print(' '.join(sorted(set({HEAVY!r}) & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={
            **os.environ,
            "LONGTAIL_HOME": str(tmp_path),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_platform_does_not_shadow_the_standard_library() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    import platform

    assert platform.system()


def test_the_top_level_holds_only_what_the_design_names() -> None:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"git must list the files of {ROOT}: {done.stderr}"
    top = {line.split("/")[0].strip('"') for line in done.stdout.splitlines()}
    assert "pyproject.toml" in top
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def read_lock(name: str) -> dict[str, str]:
    """Package -> version; each line must be an exact pin, so no host, path or option can hide."""
    lines = (ROOT / "ops" / "requirements" / name).read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    matches = [re.fullmatch(r"([a-z0-9-]+)===?([0-9a-z.]+)", line) for line in pins]
    assert None not in matches, [p for p, m in zip(pins, matches, strict=True) if m is None]
    return {match[1]: match[2] for match in matches if match}


def test_the_locks_agree_but_for_cuda() -> None:
    cpu, cuda = read_lock("cpu.txt"), read_lock("cuda.txt")
    assert set(cpu.items()) - set(cuda.items()) == {("fbgemm-gpu-cpu", cuda["fbgemm-gpu"])}
    only_cuda = set(cuda) - set(cpu) - {"fbgemm-gpu"}
    assert only_cuda
    assert all(name.startswith(("nvidia-", "cuda-", "triton")) for name in only_cuda)


@pytest.mark.parametrize("lock", ["cpu.txt", "cuda.txt"])
def test_the_locks_satisfy_what_the_project_asks_for(lock: str) -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + project["optional-dependencies"]["dev"]
    pins = read_lock(lock)
    for requirement in map(Requirement, asked):
        version = pins.get(requirement.name.lower())
        assert version is not None, f"{requirement} is not in {lock}: run ops/requirements/lock.py"
        assert requirement.specifier.contains(version), f"{lock} pins {version} for {requirement}"
