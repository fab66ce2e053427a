"""What ``g8s rescue`` does before and after it has certificates renewed (``workers.rescue``)."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TextIO

from activities.vault import Task, VaultSettings, inventory
from activities.vault.issuances import as_issued_last
from contracts.context import ClusterContext
from deploy.paths import state_dir
from deploy.stack import Stack
from workers.cli.cluster import ClusterClient
from workers.cli.console import output
from workers.cli.errors import CliError
from workers.cli.temporal import connected
from workers.rescue import Rescue
from workers.worker.serving import WAITING
from workers.worker.settings import Settings, from_environment
from workers.worker.telemetry import set_up_logging
from workers.worker.wiring import vault_settings

REACHED = {"local", "libvirt"}
"""Providers whose machines serve with their certificates."""


async def rescue_cluster(namespace: str, name: str) -> int:
    """Renew the certificates of a cluster's machines, say how that goes, and return the exit status.

    Raises CliError when it isn't to be done, ``StepError`` when it can't be.
    """
    settings, stack = from_environment(), Stack.read(state_dir())
    if stack and "VAULT_ADDR" not in os.environ:
        settings = replace(settings, vault_address=stack.vault_address)
    set_up_logging(stream=_log(stack) if stack else None)
    # Machines that are silent keep threads for minutes; the others are not to wait for those.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(WAITING))
    vault = _vault(settings)
    await _check_idle(namespace, name)
    cluster = await asyncio.to_thread(_registered, vault, namespace, name)
    return await _run(Rescue(cluster, vault, settings, _say), f"{namespace}/{name}")


async def _run(work: Rescue, label: str) -> int:
    count = sum(map(len, work.plan.renewals.values()))
    _say(f"{label}: {count} certificates of {len(work.plan.renewals)} machines are to be renewed")
    try:
        await work.run()
    except asyncio.CancelledError:
        _say(f"what has begun is ended, then it stops; renewed so far: {', '.join(work.renewed) or 'none'}")
        raise
    _say(f"{len(work.renewed)} of {len(work.plan.renewals)} machines were renewed")
    if work.unrenewed:
        _say(f"not renewed: {', '.join(sorted(work.unrenewed))}; mend what is said above and run this again")
    _say(f"{label}'s workflow knows nothing of this; once it is back: g8s certificates {label} --renew")
    return int(bool(work.unrenewed))


def _log(stack: Stack) -> TextIO:
    """Return the file that is logged to, beside the logs of the local stack; it is open for as long as threads."""
    file = stack.logs / "rescue.log"
    _say(f"each step is logged in {file}")
    return file.open("a", buffering=1)


def _vault(settings: Settings) -> VaultSettings:
    try:
        return vault_settings(settings)
    except RuntimeError as error:
        raise CliError(str(error), "Correct it and try again.") from error


def _registered(vault: VaultSettings, namespace: str, name: str) -> ClusterContext:
    """Return a cluster as Vault knows it; raises CliError when there is none to renew, and ``StepError``."""
    cluster = inventory(vault).cluster(namespace, name)
    if cluster is None:
        hint = "Those that are: bao kv list giantnetes/clusters/NAMESPACE"
        raise CliError(f"no cluster {namespace}/{name} is registered in Vault at {vault.address}", hint)
    if cluster.spec.provider not in REACHED:
        reason = f"machines of provider {cluster.spec.provider} serve with no certificates"
        raise CliError(f"{namespace}/{name} needs no rescue: {reason}", "")
    return as_issued_last(vault.client(Task.SIGNER), cluster)


async def _check_idle(namespace: str, name: str) -> None:
    """Raise CliError when the cluster's workflow answers that it is at work."""
    try:
        look = await ClusterClient(await connected(), namespace, name).look()
    except CliError as error:
        _say(f"its workflow can't be asked, which is no hindrance: {error.message}")
        return
    if not look.settled:
        operation = look.status.operation
        what = operation.type if operation else "an operation"
        hint = f"Wait for its end or cancel it, then: g8s certificates {namespace}/{name} --renew"
        raise CliError(f"{namespace}/{name}: Temporal works, and {what} is under way", hint)
    _say(f"Temporal works: g8s certificates {namespace}/{name} --renew would do this, and its workflow would know")


def _say(line: str) -> None:
    output().print(line)
