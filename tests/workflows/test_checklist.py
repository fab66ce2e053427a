"""What the Web UI and `temporal workflow metadata` show."""

from datetime import UTC, datetime, timedelta

from api.status import ClusterStatus, ErrorStatus, OperationStatus, Phase, StepState, StepStatus
from workflows.checklist import cluster_details

START = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def test_a_line_tells_duration_attempt_error_and_next_try() -> None:
    error = ErrorStatus(code="VaultSealed", message="Vault is sealed", retryable=True, hint="unseal it")
    steps = [
        StepStatus(
            name="a",
            title="Claim",
            state=StepState.DONE,
            started_at=START,
            finished_at=START + timedelta(seconds=1.25),
            attempt=2,
        ),
        StepStatus(
            name="b",
            title="Make",
            state=StepState.RUNNING,
            started_at=START,
            attempt=3,
            last_error=error,
            next_retry_time=START + timedelta(seconds=4),
        ),
        StepStatus(name="c", title="Wait"),
    ]
    status = ClusterStatus(
        name="demo",
        namespace="default",
        cluster_id="c1",
        phase=Phase.CREATING,
        paused=True,
        operation=OperationStatus(id="x", type="CreateCluster", started_at=START, steps=steps),
    )
    assert cluster_details(status).splitlines() == [
        "**Creating** (paused) `default/demo`, id `c1`",
        "",
        "### CreateCluster: under way, 1 of 3 steps",
        "- [x] Claim (1.2 s), attempt 2",
        "- [ ] Make, *running*, attempt 3: VaultSealed: Vault is sealed (next try 03:00:04 UTC)",
        "- [ ] Wait",
    ]
