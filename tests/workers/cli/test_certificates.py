"""``g8s certificates`` against a real server."""

import json
from datetime import UTC, datetime, timedelta

from api.status import Phase
from contracts.workflows import CertificatesAnswer
from tests.support.fakes import Script
from tests.support.resources import cluster
from tests.workers.cli.conftest import Program, Result
from tests.workflows.conftest import Clusters


async def test_shows_each_certificate(clusters: Clusters, g8s: Program) -> None:
    handle = await clusters.start("certified")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    result = await g8s.run("certificates", "certified")
    assert result.status == 0
    lines = result.out.splitlines()
    assert lines[0].split() == ["MACHINE", "CERTIFICATE", "SERIAL", "ENDS", "IN", "NOTE"]
    [apiserver] = [line for line in lines if " kube-apiserver " in line]
    assert apiserver.split()[0] == "control-plane-1"
    assert lines[-1].startswith("renewed next at ")


async def test_tells_serial_end_and_why_one_is_due(clusters: Clusters, script: Script, g8s: Program) -> None:
    script.expires_at = datetime.now(UTC) + timedelta(hours=50)
    handle = await clusters.start("explained")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    before = rows(await g8s.run("certificates", "explained"))
    answer = await handle.query("certificates", result_type=CertificatesAnswer)
    issued = {
        (machine, name): each.serial for machine, held in answer.issued.items() for name, each in held.items()
    }
    assert {key: row[0] for key, row in before.items()} == issued
    assert len({row[0] for row in before.values()}) == len(answer.issued)  # the script has one for each machine
    assert {" ".join(row[1:]) for row in before.values()} == {"2 d 1 h"}

    await clusters.send(handle, "pause")
    spec = cluster(certificates={"components": [{"name": "kubelet", "ttlHours": 48}]}).spec
    await clusters.send(handle, "apply", spec=spec.model_dump(by_alias=True, exclude_unset=True))
    after = rows(await g8s.run("certificates", "explained"))
    notes = {key: row[len(before[key]) :] for key, row in after.items()}
    assert {key for key, note in notes.items() if note} == {("workers-1", "kubelet"), ("workers-2", "kubelet")}
    assert {" ".join(note) for note in notes.values() if note} == {"due: the spec changed"}
    assert {key: row[0] for key, row in after.items()} == issued


def rows(result: Result) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return what stands behind machine and certificate."""
    assert result.status == 0
    lines = (line for line in result.out.splitlines()[1:] if not line.startswith("renewed next at "))
    words = (line.split() for line in lines)
    return {(machine, name): tuple(rest) for machine, name, *rest in words}


async def test_renews_them_when_asked(clusters: Clusters, script: Script, g8s: Program) -> None:
    script.audited = {"kubelet-client"}
    script.unseen = {f"workers-1/kubelet-client/{count:02x}" for count in range(9)}
    handle = await clusters.start("renewed")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    result = await g8s.run("certificates", "renewed", "--renew")
    assert result.status == 0
    assert "all certificates will be renewed" in result.err
    assert "RotateCertificates" in result.out
    rows = [line for line in result.out.splitlines() if line.startswith("workers-1")]
    [client] = [line for line in rows if "kubelet-client" in line]
    assert client.endswith("not seen in use yet")


async def test_tells_programs_and_fails_when_a_machine_was_left_out(
    clusters: Clusters, script: Script, g8s: Program
) -> None:
    script.silent.add("workers-2")
    handle = await clusters.start("partly-renewed")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    await clusters.send(handle, "rotate_certificates")
    await clusters.until(handle, lambda status: bool(status.unrenewed))
    result = await g8s.run("certificates", "partly-renewed", "-o", "json")
    assert result.status == 1
    told = json.loads(result.out)
    assert told.keys() == {"issued", "rotateAt", "unrenewed", "awaited"}
    assert "workers-2" in told["unrenewed"]
    assert told["issued"]["workers-1"]["kubelet-client"].keys() >= {"serial", "issuedAt", "expiresAt"}
