"""Workflow code is for ever: what it did once it must do again."""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from contracts.converter import data_converter
from tests.replay import record
from tests.replay.fingerprints import BASELINE, fingerprints
from workers.worker.serving import WORKFLOWS

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))

RECIPE = """
The order of commands in a workflow changed. If a history of this code may exist anywhere:
  1. guard the new order with `if workflow.patched("name-of-the-change"):` and keep the old one in `else`;
  2. see that the recorded histories still replay;
  3. write the baseline anew with `just record`, which records new histories too.
"""


def test_commands_are_in_the_recorded_order() -> None:
    assert fingerprints() == json.loads(BASELINE.read_text()), RECIPE


def test_there_are_recorded_histories() -> None:
    assert {path.stem.split(".")[0] for path in HISTORIES} >= {"create-delete", "undo", "retried", "mended"}


def test_a_recorded_version_is_never_recorded_again() -> None:
    assert set(record.recorded(record.HISTORIES, record.VERSION)) <= set(HISTORIES)
    with pytest.raises(SystemExit, match="Raise VERSION in"):
        record.main()


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_recorded_histories_replay(path: Path) -> None:
    document = json.loads(path.read_text())
    history = WorkflowHistory.from_json(document["workflow_id"], json.dumps(document["history"]))
    replayer = Replayer(workflows=WORKFLOWS, data_converter=data_converter)
    await replayer.replay_workflow(history)


async def test_a_changed_order_is_noticed() -> None:
    """The replayer must be able to fail: a history with two activities swapped does not replay."""
    path = next(path for path in HISTORIES if path.stem.startswith("create-delete.CreateCluster"))
    document = json.loads(path.read_text())
    text = json.dumps(document["history"]).replace('"EnsureSecrets"', '"EnsureSecretsOfOld"')
    history = WorkflowHistory.from_json(document["workflow_id"], text)
    replayer = Replayer(workflows=WORKFLOWS, data_converter=data_converter)
    with pytest.raises(Exception, match="Nondeterminism"):
        await replayer.replay_workflow(history)
