"""``g8s rescue``: when it does nothing. What it does is in tests/chaos and tests/workers/test_rescue.py."""

import asyncio

from contracts import activities as names
from tests.support.fakes import Script
from tests.workers.cli.conftest import Program
from tests.workflows.conftest import Clusters


async def test_an_operation_that_is_under_way_is_left_alone(
    clusters: Clusters, script: Script, g8s: Program
) -> None:
    script.gates[names.BOOT_MACHINE] = asyncio.Event()
    handle = await clusters.start("busy")
    await clusters.until(handle, lambda status: status.operation is not None)
    result = await g8s.run("rescue", "busy")
    assert result.status == 1
    assert "error: default/busy: Temporal works, and CreateCluster is under way" in result.err
    assert "g8s certificates default/busy --renew" in result.err
    script.gates[names.BOOT_MACHINE].set()


async def test_without_a_login_to_vault_it_says_what_is_missing(g8s: Program) -> None:
    result = await g8s.run("rescue", "unknown")
    assert result.status == 1
    assert "its workflow can't be asked, which is no hindrance: there is no cluster default/unknown" in result.out
    assert f"the login file {g8s.state}/openbao/approles/planner.json can't be used" in result.err


async def test_a_way_to_log_in_that_there_is_not_is_refused(g8s: Program) -> None:
    result = await g8s.run("rescue", "unknown", GIANTNETES_VAULT_AUTH="ldap")
    assert result.status == 1
    assert "GIANTNETES_VAULT_AUTH is ldap" in result.err
