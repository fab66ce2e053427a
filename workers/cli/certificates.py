"""``g8s certificates``: which certificates a cluster's machines have, which are due, and why."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from api.status import ClusterStatus, OperationStatus
from contracts.workflows import ROTATE_CERTIFICATES, Accepted, CertificatesAnswer, Reason
from planning.certificates import Known, due
from planning.certificates import certificates as planned
from workers.cli.cluster import ClusterClient
from workers.cli.console import camel_cased, columns, elapsed, errors, output
from workers.cli.errors import CliError, command
from workers.cli.options import Format, Name, Namespace, Output, named
from workers.cli.temporal import connected
from workers.cli.watch import watch

POLL_SECONDS = 0.2

Renew = Annotated[bool, typer.Option("--renew", help="Renew all of them now, and wait until that is done.")]


@command
async def certificates(
    name: Name, *, namespace: Namespace = "default", renew: Renew = False, form: Output = Format.TEXT
) -> int:
    """Show the certificates of a cluster's machines: serial, end, and why one is due.

    They are renewed at spec.certificates.rotationTime, every spec.certificates.rotationIntervalDays days. A client
    that hasn't been seen with its new certificate is marked: most read their files every five minutes. The exit
    status is 1 when a machine could not be renewed.
    """
    if renew and form is Format.JSON:
        raise CliError("--renew and -o json exclude each other", "Ask for JSON afterwards.")
    cluster = ClusterClient(await connected(), *named(name, namespace))
    if renew:
        await _renew(cluster)
    answer = await cluster.certificates()
    if form is Format.JSON:
        told = camel_cased(answer)
        del told["context"]
        typer.echo(json.dumps(told, indent=2))
        return int(bool(answer.unrenewed))
    now = datetime.now(UTC)
    for line in columns([["MACHINE", "CERTIFICATE", "SERIAL", "ENDS IN", "NOTE"], *_rows(answer, now)]):
        output().print(line)
    if answer.rotate_at:
        output().print(f"renewed next at {answer.rotate_at:%Y-%m-%d %H:%M} UTC")
    for machine, why in sorted(answer.unrenewed.items()):
        output().print(f"{machine} was not renewed: {why}")
    return int(bool(answer.unrenewed))


async def _renew(cluster: ClusterClient) -> None:
    """Have all certificates renewed, and show how that goes; a paused cluster is not waited for."""
    before = (await cluster.look()).status
    accepted = await cluster.send("rotate_certificates", Reason(reason="g8s certificates --renew"), Accepted)
    errors().print(accepted.message)
    if before.paused:
        return
    look = await cluster.look()
    while not _rotates(look.status, since=before.operation):
        await asyncio.sleep(POLL_SECONDS)
        look = await cluster.look()
    await watch(cluster, output())


def _rotates(status: ClusterStatus, since: OperationStatus | None) -> bool:
    operation = status.operation
    known = since.started_at if since else None
    return operation is not None and operation.type == ROTATE_CERTIFICATES and operation.started_at != known


def _rows(answer: CertificatesAnswer, now: datetime) -> Iterator[list[str]]:
    reasons = {(item.machine, item.certificate): item.reason for item in due(_known(answer), now)}
    awaited = {(item.machine, item.name) for item in answer.awaited}
    for held in planned(_known(answer)):
        key = (held.machine.name, held.kind.name)
        notes = [f"due: {reasons[key]}"] if key in reasons else []
        notes += ["not seen in use yet"] if key in awaited else []
        issued = held.issued
        yield [
            *key,
            issued.serial if issued else "unknown",
            _left(issued.expires_at, now) if issued else "unknown",
            "; ".join(notes),
        ]


def _left(end: datetime, now: datetime) -> str:
    return elapsed(now, end) if end > now else "ended"


def _known(answer: CertificatesAnswer) -> Known:
    return Known(answer.context, answer.issued, answer.unrenewed)
