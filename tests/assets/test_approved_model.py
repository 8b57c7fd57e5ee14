"""The page of `approved_model`: after a refusal it shows the refusal."""

import json
from pathlib import Path

import dagster as dg
import pytest

from assets.evaluation import approved_model
from assets.resources import Project
from longtail.config import Config
from tests.evaluation.test_gate import DAY, NEW, OLD, prepare


def asked(config: Config, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    file = config.home / "longtail.yaml"
    file.write_text(json.dumps(config.model_dump(mode="json")))
    return dg.materialize(
        [approved_model],
        instance=instance,
        partition_key=DAY.isoformat(),
        resources={"project": Project(config_file=str(file))},
        raise_on_error=False,
    )


def test_a_refusal_is_on_the_page_and_an_approval_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LONGTAIL_HOME", raising=False)
    config = Config(feature_repo=tmp_path, home=tmp_path)
    with dg.DagsterInstance.ephemeral() as instance:
        prepare(config, version="20250809-0000000a")
        assert asked(config, instance).success
        # The same day again, with a version that is worse than what is served.
        prepare(config, on_common=(0.5, 0.2))
        refused = asked(config, instance)
        assert not refused.success
        (check,) = refused.get_asset_check_evaluations()
        assert (check.check_name, check.passed) == ("gate", False)
        assert check.metadata["version"].value == NEW
        rules = {
            record.data["rule"]: record.data for record in check.metadata["rules"].value.records
        }
        failed = [rule for rule, found in rules.items() if not found["passed"]]
        assert failed == ["overall as good as the served version"]
        assert OLD in str(rules[failed[0]]["figures"])
        # The newest event of the asset is the refusal, not the approval of the other version.
        newest = instance.fetch_observations(dg.AssetKey("approved_model"), limit=1).records[0]
        shown = newest.asset_observation
        assert shown is not None
        assert shown.metadata["verdict"].value == "refused"
        assert shown.metadata["version"].value == NEW
        assert "0.5000" in str(shown.description)

        prepare(config, on_common=(0.7, 0.2))
        approved = asked(config, instance)
        assert approved.success
        (check,) = approved.get_asset_check_evaluations()
        assert (check.check_name, check.passed) == ("gate", True)
