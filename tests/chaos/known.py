"""Starting clusters whose id, and so everything that is named after it, is known beforehand."""

import uuid
from typing import Any

from temporalio.client import Client

from contracts import queues
from contracts.workflows import CLUSTER, ClusterInput, proposed_id, workflow_id
from tests.support.clusters import Handle
from tests.support.resources import cluster_document


async def start_known(client: Client, name: str, uid: str = "", **spec: Any) -> tuple[Handle, str]:
    """Start a cluster with a uid, as the resource of a host cluster has one; return its handle and cluster id."""
    document = cluster_document(name, **spec)
    document["metadata"]["uid"] = uid = uid or str(uuid.uuid4())
    handle = await client.start_workflow(
        CLUSTER,
        ClusterInput.model_validate(document),
        id=workflow_id("default", name),
        task_queue=queues.CLUSTERS,
        result_type=str,
    )
    return handle, proposed_id("default", name, uid)
