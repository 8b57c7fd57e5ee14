"""Which stages notice a changed file: one file of every package is edited, in a copy of the code.

The versions that a project has are named by these hashes: an edit that a stage notices without
need makes the next scheduled refresh train everything again.
"""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from longtail import fingerprints

ROOT = Path(__file__).resolve().parents[1]
# Runs on the copied code: edits one file after the other, and prints what each edit changes.
EDIT_ALL = """
import json, sys
from pathlib import Path
from longtail import fingerprints
from longtail.config import Config
from longtail.training.launch.version_name import modules_that_learn

root = Path(fingerprints.__file__).parent
stages = {
    "vocabularies": ["longtail.features.vocabulary"],
    "correlations": ["longtail.correlation.mine"],
    "training_set": ["longtail.dataset.build_training_set"],
    "model": modules_that_learn(Config(feature_repo=".")),
    "evaluation": ["longtail.evaluation.evaluate"],
    "baselines": ["longtail.evaluation.baselines.measure"],
    "embeddings": ["longtail.embeddings.export"],
    "pair_counts": ["longtail.correlation.daily_counts"],
    "study": ["longtail.training.train_in_process", "longtail.augmentation.registry"],
}

# Each module is read once, but for those that are edited.
read_module, modules_read = fingerprints._read_module.__wrapped__, {}

def read_once(module):
    if module not in modules_read:
        modules_read[module] = read_module(module)
    return modules_read[module]

fingerprints._read_module = read_once

def forget(paths):
    for path in paths:
        parts = ["longtail", *path.relative_to(root).with_suffix("").parts]
        modules_read.pop(".".join(parts).removesuffix(".__init__"), None)

def hashes():
    return {stage: fingerprints.source_hash(*modules) for stage, modules in stages.items()}

before = hashes()

def noticed_by(edits):
    texts = {path: path.read_text() for path in edits}
    for path, change in edits.items():
        path.write_text(change(texts[path]))
    forget(edits)
    after = hashes()
    for path, text in texts.items():
        path.write_text(text)
    forget(edits)
    return [stage for stage in before if before[stage] != after[stage]]

def other_words(text):
    assert text.startswith('\"\"\"'), text[:80]
    return '\"\"\"Other words. ' + text[3:] + chr(10) * 3 + "# A comment." + chr(10)

statement = chr(10) + "_EDITED = True" + chr(10)
found = {
    file: noticed_by({root / file: lambda text: text + statement}) for file in sys.argv[1:]
}
found["words"] = noticed_by({path: other_words for path in root.rglob("*.py")})
print(json.dumps(found))
"""
DATA = {"vocabularies", "training_set"}
LEARNS = {"model", "study"}
MODEL = LEARNS | {"evaluation", "embeddings"}
BASELINES = {"baselines"}
# One file of every package, and the stages whose result its code can change.
NOTICED = {
    "errors.py": set(),
    "artifacts.py": set(),
    "config/learning.py": set(),
    "config/loading.py": set(),
    "init/summary.py": set(),
    "init/infer.py": set(),
    "init/keys/key_columns.py": set(),
    "init/project_files/feature_views.py": set(),
    "init/tables/csv_files.py": set(),
    "init/times/time_formats.py": set(),
    "checks/drift.py": set(),
    "checks/registry.py": set(),
    "features/finding.py": set(),
    "features/feast/embedding_slots.py": set(),
    "features/feast/row_format.py": set(),
    "features/feast/repository.py": {"training_set"},
    "features/vocabulary.py": DATA | MODEL | BASELINES,
    "features/encoding.py": {"training_set"} | MODEL | BASELINES,
    "features/schema.py": DATA | MODEL | BASELINES | {"correlations"},
    "augmentation/masking_plan.py": {"correlations"} | MODEL,
    "augmentation/augmentations.py": LEARNS,
    "correlation/measures.py": {"correlations", "pair_counts"},
    "correlation/daily_counts.py": {"correlations", "pair_counts"},
    "correlation/heat_map.py": set(),
    "dataset/side_rows.py": {"training_set"},
    "dataset/batch_builder.py": LEARNS,
    "dataset/sampler.py": LEARNS,
    "model/losses.py": LEARNS,
    "model/towers.py": MODEL,
    "model/kernels/__init__.py": MODEL,
    "model/kernels/repeated_cells.py": MODEL,
    "model/kernels/softmax_loss.py": LEARNS,
    "encoder/torch_encoder.py": MODEL,
    "encoder/numpy_towers.py": set(),
    "training/loop.py": LEARNS,
    "training/reports.py": set(),
    "training/optimization/schedule.py": LEARNS,
    "training/launch/version_inputs.py": {"model"},
    "training/launch/torchrun.py": set(),
    "training/launch/training_log.py": set(),
    "training/sharding/sharded_model.py": LEARNS,
    "training/sharding/plan_alternatives.py": set(),
    "evaluation/metrics.py": {"evaluation"} | BASELINES,
    "evaluation/gate.py": set(),
    "evaluation/baselines/ranks.py": {"evaluation"} | BASELINES,
    "evaluation/memory/choice.py": {"evaluation"},
    "memory/mixture.py": {"evaluation"},
    "embeddings/seen_items.py": {"embeddings"},
    "embeddings/query_memory.py": set(),
    "embeddings/fill_slot.py": set(),
    "embeddings/publish.py": set(),
    "embeddings/refresh/withdrawn.py": set(),
    "serving/recommend.py": set(),
    "report/changes.py": set(),
    "study/tuning.py": set(),
    "tuning/axes.py": set(),
    "cli/run.py": set(),
    "cli/tables/result_tables.py": set(),
}


@pytest.fixture(scope="module")
def noticed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """By edited file, the stages whose hash the edit changed."""
    platform = tmp_path_factory.mktemp("copy") / "platform"
    shutil.copytree(
        ROOT / "platform", platform, ignore=shutil.ignore_patterns("__pycache__", "*.md")
    )
    done = subprocess.run(
        [sys.executable, "-c", EDIT_ALL, *NOTICED],
        env={**os.environ, "PYTHONPATH": str(platform)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("file", NOTICED)
def test_a_changed_file_is_noticed_by_the_stages_that_it_can_change(
    file: str, noticed: dict[str, list[str]]
) -> None:
    assert set(noticed[file]) == NOTICED[file]


def test_every_package_is_edited_above() -> None:
    root = ROOT / "platform" / "longtail"
    packages = {path.parent for path in root.rglob("__init__.py")}
    assert packages == {(root / file).parent for file in NOTICED}


def test_words_are_no_code(noticed: dict[str, list[str]]) -> None:
    """Comments, docstrings and layout of every file at once."""
    assert noticed["words"] == []


def test_the_hash_is_the_same_in_every_release_of_python() -> None:
    """Python 3.12 added a field to functions, and 3.13 leaves out empty ones."""
    code = '''
@cache
def f(a, *b, c: int = 1, **d) -> str | None:
    """Words."""
    return a[c:] if a else -1.5  # more words
'''
    assert fingerprints._code_of(ast.parse(code)) == (
        "Module(body=[FunctionDef(args=arguments(args=[arg(arg='a')],"
        "kw_defaults=[Constant(value=1)],kwarg=arg(arg='d'),"
        "kwonlyargs=[arg(annotation=Name(ctx=Load(),id='int'),arg='c')],vararg=arg(arg='b')),"
        "body=[Return(value=IfExp(body=Subscript(ctx=Load(),"
        "slice=Slice(lower=Name(ctx=Load(),id='c')),value=Name(ctx=Load(),id='a')),"
        "orelse=UnaryOp(op=USub(),operand=Constant(value=1.5)),"
        "test=Name(ctx=Load(),id='a')))],decorator_list=[Name(ctx=Load(),id='cache')],name='f',"
        "returns=BinOp(left=Name(ctx=Load(),id='str'),op=BitOr(),right=Constant()))])"
    )
