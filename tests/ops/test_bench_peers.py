"""The benchmark against peers, without the peers: their data, and the protocol."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.integration.conftest import child_environment
from tests.ops.test_bench_train import write_tables

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "ops" / "benchmarks"

EXPORT = """
import sys
from pathlib import Path
import numpy as np
from training.work import demo
from peers_parts.export import export

work, folder = demo(None), Path(sys.argv[1])
questions = export(work, 32, folder)
data, arrays = work.training_set, np.load(folder / "data.npz")
assert np.array_equal(arrays["train_query"], data.train.query_row)
assert np.array_equal(arrays["train_item"], data.train.item_row)
assert np.array_equal(arrays["item_of_row"], data.item_of_row)
assert np.allclose(arrays["item_share"] * len(data.train), data.train_count)
assert len(arrays["asked_query"]) == questions.num_queries
assert len(arrays["asked_item"]) == questions.num_candidates
for side, rows in (("query", data.query_rows), ("item", data.item_rows)):
    features = data.schema.side(side)
    for row in range(rows.num_rows):
        for position, feature in enumerate(features):
            cell = row * len(features) + position
            values, ends = arrays[f"{feature.key}.values"], arrays[f"{feature.key}.offsets"]
            expected = rows.values[rows.offsets[cell] : rows.offsets[cell + 1]]
            assert np.array_equal(values[ends[row] : ends[row + 1]], expected)
"""

# A worker that does not learn, and prints lines that must not mix with its answers.
WORKER = """
import sys
import numpy as np
from peers_parts import turns

class Idle:
    about = {"version": 1}
    def __init__(self, arrays, settings, choices):
        print("a library's greeting")
        self.size = choices["size"]
    def run(self, num_steps):
        print("a step")
    def vectors(self):
        return {"query": np.zeros((self.size, 2)), "item": np.ones((self.size, 2))}

turns.serve(Idle)
"""


def run(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        env=child_environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_peers_are_given_our_training_set(tmp_path: Path) -> None:
    config = write_tables(tmp_path)
    folder = tmp_path / "exported"
    folder.mkdir()
    code = f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r})\n{EXPORT}"
    done = run("-W", "ignore", "-c", code, str(folder), LONGTAIL_CONFIG=str(config))
    assert done.returncode == 0, done.stderr
    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    assert settings["batch_size"] == 32
    assert {feature["key"] for feature in settings["features"] if feature["multi"]} == {
        "query.words",
        "item.words",
    }


def test_an_interpreter_without_the_peer_is_said_to_lack_it() -> None:
    done = run(str(BENCHMARKS / "peers.py"), "--tfrs-python", sys.executable)
    assert done.returncode == 1
    assert "lacks tensorflow, tensorflow_recommenders" in done.stderr
    assert "ops/requirements/peers-tfrs.txt" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_no_interpreter_is_refused(tmp_path: Path) -> None:
    done = run(str(BENCHMARKS / "peers.py"), "--librecommender-python", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "does not run as a Python interpreter" in done.stderr


def test_without_a_peer_there_is_nothing_to_compare() -> None:
    done = run(str(BENCHMARKS / "peers.py"))
    assert done.returncode == 1
    assert "--tfrs-python" in done.stderr


def test_a_worker_answers_each_turn_and_nothing_else(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", nothing=np.zeros(1))
    (tmp_path / "settings.json").write_text("{}", encoding="utf-8")
    vectors = tmp_path / "vectors.npz"
    asked = [{"steps": 3}, {"vectors": str(vectors)}]
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(tmp_path), json.dumps({"size": 5})],
        input="".join(json.dumps(document) + "\n" for document in asked),
        env=child_environment(PYTHONPATH=str(BENCHMARKS)),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert answers[0] == {"about": {"version": 1}}
    assert [set(answer) for answer in answers[1:]] == [{"steps", "seconds"}, {"vectors", "seconds"}]
    assert np.load(vectors)["item"].shape == (5, 2)
