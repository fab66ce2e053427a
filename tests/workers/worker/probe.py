"""A workflow that runs one activity; in a file of its own, as the sandbox imports it anew."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from contracts.machines import ClusterReference


@workflow.defn(name="Probe")
class ProbeWorkflow:
    """Runs one activity."""

    @workflow.run
    async def run(self, name: str) -> None:
        """Run the activity called ``name`` once, with a short heartbeat timeout."""
        await workflow.execute_activity(
            name,
            ClusterReference(cluster_id="c1", namespace="default", name="demo"),
            start_to_close_timeout=timedelta(seconds=20),
            heartbeat_timeout=timedelta(seconds=2),
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
