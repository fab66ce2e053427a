"""The pods' network of real nodes: between machines, through services, by name, and what policies forbid."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.libvirt.guests import Guest, in_a_room
from tests.libvirt.machines import MACHINES
from tests.libvirt.pods import SERVICE, WEB_PORT, Pods, client, default_deny, outward, policy, service, web

pytestmark = in_a_room
CLIENTS = {f"{kind}-{node}": node for kind in ("friend", "stranger") for node in MACHINES}


@pytest.fixture(scope="module")
def pods(guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> Pods:
    """Two servers and four clients, a friend and a stranger on each node; a fifth in another namespace."""
    objects: list[dict[str, Any]] = [SERVICE, *(item for node in MACHINES for item in web(f"web-{node}", node))]
    objects += [client(name, node, kind=name.partition("-")[0]) for name, node in CLIENTS.items()]
    apply(guest, tmp_path_factory.mktemp("objects"), objects)
    guest.kubectl("create", "namespace", "elsewhere")
    other = tmp_path_factory.mktemp("other")
    apply(guest, other, [client("visitor", MACHINES[-1], kind="visitor")], "--namespace", "elsewhere")
    guest.wait_for_pods("--all")
    guest.wait_for_pods("visitor", "--namespace", "elsewhere")
    return Pods(guest.cluster_id, guest.hypervisor, guest.places)


def apply(guest: Guest, folder: Path, objects: list[dict[str, Any]], *options: str) -> None:
    """Apply objects unchecked by kubectl: an emulated API takes half a minute for its schemas."""
    file = folder / "objects.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    guest.kubectl("apply", "--server-side", "--validate=ignore", "--filename", str(file), *options)


def pod(guest: Guest, name: str, namespace: str = "default") -> dict[str, Any]:
    found = guest.kubectl("get", "pod", name, "--namespace", namespace, "--output", "json")
    return dict(json.loads(found))


def reached(guest: Guest, pods: Pods, port: int = WEB_PORT) -> dict[tuple[str, str], bool]:
    """Say which client reaches which server. All try at once: what is dropped is waited for in vain."""
    listed = json.loads(guest.kubectl("get", "pods", "--all-namespaces", "--output", "json"))["items"]
    named = {pod["metadata"]["name"]: pod for pod in listed}
    pairs = [(name, node) for name in (*CLIENTS, "visitor") for node in MACHINES]
    with ThreadPoolExecutor(len(pairs)) as pool:
        tries = [
            pool.submit(pods.connects, named[name], named[f"web-{node}"]["status"]["podIP"], port)
            for name, node in pairs
        ]
    return {pair: tried.result() for pair, tried in zip(pairs, tries, strict=True)}


def test_pods_reach_each_other_on_one_machine_and_between_two(guest: Guest, pods: Pods) -> None:
    assert set(reached(guest, pods).values()) == {True}


def test_nothing_is_encapsulated(guest: Guest, pods: Pods) -> None:
    """Routes lead to the machines' own addresses, and no tunnel device exists."""
    if len(MACHINES) < 2:
        pytest.skip("there is one machine only, see tests/libvirt/machines.py")
    other = pod(guest, f"web-{MACHINES[-1]}")
    route = pods.on_machine(MACHINES[0], f"ip route get {other['status']['podIP']}")
    assert f"via {other['status']['hostIP']}" in route
    assert "flannel" not in pods.on_machine(MACHINES[0], "ip -brief link")


def test_a_service_is_reached_by_name(guest: Guest, pods: Pods) -> None:
    address = guest.kubectl("get", "service", "web", "--output", "jsonpath={.spec.clusterIP}")
    for name in (f"stranger-{node}" for node in MACHINES):
        who = pod(guest, name)
        assert pods.resolve(who, "10.96.0.10", "web.default.svc.cluster.local") == address
        assert pods.connects(who, address, 80)


def test_a_service_leads_to_the_other_machine(guest: Guest, pods: Pods, tmp_path: Path) -> None:
    """Each has one server, and is asked by a pod on every machine."""
    apply(guest, tmp_path, [service(f"on-{node}", app="web", on=node) for node in MACHINES])
    for node in MACHINES:
        address = guest.kubectl("get", "service", f"on-{node}", "--output", "jsonpath={.spec.clusterIP}")
        for name in (f"stranger-{other}" for other in MACHINES):
            reaches = partial(pods.connects, pod(guest, name), address, 80)
            guest.until(reaches, f"{name} reaches on-{node}")


def test_logs_and_exec(guest: Guest, pods: Pods) -> None:
    del pods
    assert "CoreDNS-1.15.0" in guest.kubectl("logs", f"web-{MACHINES[0]}")
    assert "CoreDNS-1.15.0" in guest.kubectl("exec", f"web-{MACHINES[-1]}", "--", "/coredns", "-version")


def test_policies_hold(guest: Guest, pods: Pods, tmp_path: Path) -> None:
    friends = {"podSelector": {"matchLabels": {"kind": "friend"}}}
    elsewhere = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}}
    cases: list[tuple[list[dict[str, Any]], set[str]]] = [
        ([], set()),
        ([friends], {"friend"}),
        ([elsewhere], {"visitor"}),
        ([friends, elsewhere], {"friend", "visitor"}),
    ]
    for sources, allowed in cases:
        apply(guest, tmp_path, [policy("web", *sources)])
        await_reached(guest, pods, allowed)
    guest.kubectl("delete", "networkpolicy", "web")
    await_reached(guest, pods, {"friend", "stranger", "visitor"})


def test_policies_hold_on_the_way_out(guest: Guest, pods: Pods, tmp_path: Path) -> None:
    """Friends get out to nobody, then to the servers alone; strangers are not concerned."""
    servers = {"podSelector": {"matchLabels": {"app": "web"}}}
    elsewhere = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}}}
    cases: list[tuple[list[dict[str, Any]], set[str]]] = [
        ([], {"stranger", "visitor"}),
        ([elsewhere], {"stranger", "visitor"}),
        ([servers], {"friend", "stranger", "visitor"}),
    ]
    for targets, allowed in cases:
        apply(guest, tmp_path, [outward("out", "friend", *targets)])
        await_reached(guest, pods, allowed)
    guest.kubectl("delete", "networkpolicy", "out")


def test_a_namespace_that_denies_all_is_opened_from_both_sides(guest: Guest, pods: Pods, tmp_path: Path) -> None:
    servers = {"podSelector": {"matchLabels": {"app": "web"}}}
    friends = {"podSelector": {"matchLabels": {"kind": "friend"}}}
    apply(guest, tmp_path, [default_deny("deny")])
    await_reached(guest, pods, set())
    apply(guest, tmp_path, [outward("out", "friend", servers)])
    await_reached(guest, pods, set())
    apply(guest, tmp_path, [policy("web", friends)])
    await_reached(guest, pods, {"friend"})
    guest.kubectl("delete", "networkpolicy", "--all")
    await_reached(guest, pods, {"friend", "stranger", "visitor"})


def await_reached(guest: Guest, pods: Pods, allowed: set[str]) -> None:
    """Wait until the allowed kinds of clients reach each server, and nobody else any."""

    def holds() -> bool:
        found = reached(guest, pods)
        return found == {(name, node): name.partition("-")[0] in allowed for name, node in found}

    guest.until(holds, f"only {allowed} get through")
