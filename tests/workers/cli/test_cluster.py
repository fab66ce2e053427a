"""Who does not answer the command line, and how that is told."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from contracts import queues
from contracts.workflows import CLUSTER, Accepted, Reason, workflow_id
from workers.cli import cluster
from workers.cli.cluster import ClusterClient
from workers.cli.errors import CliError, NoAnswerError


@pytest.fixture
async def unserved(temporal: WorkflowEnvironment) -> AsyncIterator[str]:
    """A cluster whose workflow nobody runs."""
    handle = await temporal.client.start_workflow(
        CLUSTER, id=workflow_id("default", "deserted"), task_queue=queues.CLUSTERS
    )
    yield "deserted"
    await handle.terminate()


@pytest.fixture
def client(temporal: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A client of a command line that waits no longer than a second."""
    monkeypatch.setattr(cluster, "ANSWER", timedelta(seconds=1))
    monkeypatch.setattr(cluster, "UPDATE", timedelta(seconds=1))
    return temporal.client


async def test_a_question_or_a_message_that_no_worker_takes(client: Client, unserved: str) -> None:
    deserted = ClusterClient(client, "default", unserved)
    with pytest.raises(NoAnswerError, match="no worker answered for default/deserted within 1 s") as failure:
        await deserted.look()
    assert "just status" in failure.value.hint
    with pytest.raises(NoAnswerError, match="no worker answered"):
        await deserted.send("retry", Reason(), Accepted)


@pytest.mark.parametrize(
    ("kind", "queue", "words"),
    [("Clutser", queues.CLUSTERS, "type Clutser, not Cluster"), (CLUSTER, "nobody", "queue nobody, not clusters")],
)
async def test_a_workflow_that_was_started_wrongly(client: Client, kind: str, queue: str, words: str) -> None:
    handle = await client.start_workflow(kind, id=workflow_id("default", "mistaken"), task_queue=queue)
    with pytest.raises(CliError, match=words) as failure:
        await ClusterClient(client, "default", "mistaken").look()
    await handle.terminate()
    assert not isinstance(failure.value, NoAnswerError)
    assert "temporal workflow terminate --workflow-id cluster/default/mistaken" in failure.value.hint


async def test_a_workflow_that_has_ended_answers_by_its_history(client: Client) -> None:
    handle = await client.start_workflow(CLUSTER, id=workflow_id("default", "gone"), task_queue=queues.CLUSTERS)
    await handle.terminate()
    gone = ClusterClient(client, "default", "gone")
    with pytest.raises(NoAnswerError, match="default/gone has ended: the workflow was terminated"):
        await gone.look()
    with pytest.raises(CliError, match="default/gone has ended: the workflow was terminated"):
        await gone.send("retry", Reason(), Accepted)


async def test_a_question_or_a_message_to_nobody(client: Client) -> None:
    nobody = ClusterClient(client, "default", "no-such-cluster")
    with pytest.raises(CliError, match="there is no cluster default/no-such-cluster"):
        await nobody.look()
    with pytest.raises(CliError, match="there is no cluster default/no-such-cluster"):
        await nobody.send("retry", Reason(), Accepted)
