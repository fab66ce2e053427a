"""Task queues: one for workflows, and one for each outside system of each site."""

from contracts.context import ClusterContext

CLUSTERS = "clusters"
"""Workflows. All other queues but the next hang on a site, so that a customer's own data centre can be one."""

HOST = "host"
"""Activities that speak to the host cluster, which has the resources."""


def planning(site: str) -> str:
    """Return the queue of planning activities."""
    return f"{site}.planning"


def vault(site: str) -> str:
    """Return the queue of activities that run next to Vault."""
    return f"{site}.vault"


def provider(site: str, name: str) -> str:
    """Return the queue of the activities of provider ``name``."""
    return f"{site}.{name}"


def hypervisor(site: str, name: str) -> str:
    """Return the queue of the worker of one hypervisor."""
    return f"{site}.libvirt.{name}"


def machine(cluster: ClusterContext, name: str) -> str:
    """Return the queue of the activities about a machine: its hypervisor's, if it is placed on one."""
    spec, host = cluster.spec, cluster.placements.machines.get(name)
    return hypervisor(spec.site, host) if host else provider(spec.site, spec.provider)


def kubernetes(site: str, provider_name: str) -> str:
    """Return the queue of activities that speak to guest APIs; simulated machines serve none, so theirs is."""
    return provider(site, provider_name) if provider_name == "simulated" else f"{site}.kubernetes"


def probes(site: str, provider_name: str) -> str:
    """Return the queue of activities that look at guest APIs for as long as their clusters live."""
    return f"{kubernetes(site, provider_name)}.probes"
