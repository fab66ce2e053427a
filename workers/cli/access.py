"""``g8s access``: who was given a certificate of a cluster, and until when it opens anything."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import typer

from contracts.workflows import Access
from workers.cli.cluster import ClusterClient
from workers.cli.console import camel_cased, columns, elapsed, errors, output
from workers.cli.errors import command
from workers.cli.options import Format, Name, Namespace, Output, named
from workers.cli.temporal import connected

HEADLINE = ["USER", "GROUPS", "SERIAL", "GIVEN", "ENDS IN", "NOTE"]


@command
async def access(name: Name, *, namespace: Namespace = "default", form: Output = Format.TEXT) -> int:
    """List the last fifty certificates that people were given by g8s kubeconfig.

    Nothing revokes one: it ends, or the role bindings of its user and groups are removed. SERIAL is what
    `openssl x509 -serial` shows of it. Logins by OIDC are known to the issuer and the cluster's audit log only.
    """
    accesses = await ClusterClient(await connected(), *named(name, namespace)).accesses()
    if form is Format.JSON:
        typer.echo(json.dumps(camel_cased(accesses), indent=2))
    elif accesses.items:
        now = datetime.now(UTC)
        for line in columns([HEADLINE, *_rows(accesses.items, now)]):
            output().print(line)
    else:
        errors().print("nobody was given a certificate")
    return 0


def _rows(items: list[Access], now: datetime) -> Iterator[list[str]]:
    for item in items:
        yield [
            item.user,
            ",".join(item.groups) or "-",
            item.serial,
            f"{item.issued_at:%Y-%m-%d %H:%M} UTC",
            elapsed(now, item.expires_at) if item.expires_at > now else "ended",
            "broke the glass" if item.break_glass else "",
        ]
