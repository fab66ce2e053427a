"""That certificates end soon is told though nothing but time has passed."""

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio.testing import WorkflowEnvironment

from api.conditions import ConditionType
from api.errors import ErrorCode
from api.status import Phase
from contracts import activities as names
from contracts.reporting import ReportAnswer, StatusReport
from tests.workflows.conftest import served
from tests.workflows.test_reporting import Host, reported, start


class LaterHost(Host):
    """A host cluster to which reports come so much ``later`` than they are made."""

    def __init__(self) -> None:
        super().__init__()
        self.later = timedelta(0)
        self.expires_at = datetime.now(UTC) + timedelta(days=5, hours=1)

    def report(self, report: StatusReport) -> ReportAnswer:
        """Write what tells something new at that time."""
        return super().report(report.model_copy(update={"reported_at": report.reported_at + self.later}))

    @property
    def reason(self) -> str:
        """Reason of ``CertificatesValid`` as it was written last."""
        valid = ConditionType.CERTIFICATES_VALID
        return next((each.reason for each in self.told.conditions if each.type == valid), "")

    async def until(self, reason: str) -> None:
        """Wait until it is written."""
        while self.reason != reason:
            await asyncio.sleep(0.05)


async def test_a_look_that_finds_all_well_tells_it(temporal: WorkflowEnvironment) -> None:
    host = LaterHost()
    async with served(temporal, host) as clusters:
        handle = await start(clusters, "soon-looked")
        await reported(clusters, lambda report: report.status.phase == Phase.RUNNING)
        await host.until("Valid")
        host.later = timedelta(hours=2)
        await clusters.send(handle, "retry")  # has its machines looked at now
        await host.until("EndsSoon")
        await clusters.send(handle, "delete")
        await handle.result()


async def test_an_attempt_of_a_rotation_that_waits_for_vault_tells_it(temporal: WorkflowEnvironment) -> None:
    host = LaterHost()
    async with served(temporal, host) as clusters:
        handle = await start(clusters, "soon-sealed")
        await reported(clusters, lambda report: report.status.phase == Phase.RUNNING)
        host.failure_code = ErrorCode.VAULT_SEALED
        host.failures[names.ENSURE_AUTHORITY] = 1000
        await clusters.send(handle, "rotate_certificates")
        await reported(clusters, lambda report: bool(report.status.operation and host.told.operation))
        await host.until("Valid")
        host.later = timedelta(hours=2)
        await host.until("EndsSoon")
        assert host.told.operation is not None
        assert host.told.operation.type == "RotateCertificates"
        await clusters.send(handle, "delete")
        host.failures.clear()
        await handle.result()
