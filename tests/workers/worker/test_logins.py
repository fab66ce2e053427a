"""What a worker's metrics tell of its own logins."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from activities.vault import AppRoles
from activities.vault.login import Login
from contracts.errors import StepError
from tests.support.openbao import free_port
from workers.worker import telemetry
from workers.worker.logins import MeteredLogin, host_login_end

LEASE = 3600


class Granted(Login):
    """Lets everybody in."""

    def log_in(self, vault: Any, task: str) -> Mapping[str, Any]:
        """Return a token for an hour."""
        del vault, task
        return {"client_token": "t", "lease_duration": LEASE}


def test_each_task_s_login_tells_its_end_and_how_often_it_failed(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    runtime = telemetry.runtime(address)
    before = int(datetime.now(UTC).timestamp())
    MeteredLogin(Granted(), runtime.metric_meter).log_in(None, "signer")
    refused = MeteredLogin(AppRoles(tmp_path), runtime.metric_meter)
    for _ in range(2):
        with pytest.raises(StepError):
            refused.log_in(None, "sealer")
    host_login_end(runtime.metric_meter)(datetime(2027, 1, 1, tzinfo=UTC))
    found = series(address)
    assert 0 <= found["giantnetes_worker_vault_login_expire_timestamp_seconds", "signer"] - before - LEASE < 60
    assert ("giantnetes_worker_vault_login_expire_timestamp_seconds", "sealer") not in found
    assert found["giantnetes_worker_vault_login_failures_total", "signer"] == 0
    assert found["giantnetes_worker_vault_login_failures_total", "sealer"] == 2
    end = datetime(2027, 1, 1, tzinfo=UTC).timestamp()
    assert found["giantnetes_worker_host_login_expire_timestamp_seconds", ""] == end


def series(address: str) -> dict[tuple[str, str], float]:
    """Return what an endpoint exports, by name and task."""
    text = requests.get(f"http://{address}/metrics", timeout=5).text
    return {
        (sample.name, sample.labels.get("task", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
