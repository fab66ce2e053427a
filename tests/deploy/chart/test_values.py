"""What the chart makes of values, and which values it refuses."""

import copy
import re
from typing import Any

import pytest
import yaml

from activities.kubernetes.serving import ports
from activities.vault import Task
from contracts.certificates import CERTIFICATES
from planning.quotas import Quotas
from tests.contract.clusters import TestCluster
from tests.deploy.chart.rendering import (
    CHART,
    EVERYTHING,
    NEEDED,
    PROCESSES,
    Json,
    helm,
    of_kind,
    pod_specs,
    rendered,
    variables,
)
from workers.worker.settings import QUOTAS
from workers.worker.wiring import KINDS

ON_MACHINES = {"local", "simulated"}
"""Queues that are polled where machines are made."""

VAULTED = {"worker-planning", "worker-vault", "worker-kubernetes", "worker-probes"}
GUESTS = {"worker-kubernetes", "worker-probes"}
API = {"bridge", "worker-host"}


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING], ids=["needed", "everything"])
def test_helm_has_nothing_to_complain_about(values: Json) -> None:
    done = helm("lint", "--strict", str(CHART), values=values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def changed(path: str, value: Any) -> Json:
    """Return the needed values with one more."""
    values = copy.deepcopy(NEEDED)
    *folders, name = path.split(".")
    place = values
    for folder in folders:
        place = place.setdefault(folder, {})
    place[name] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("image.repository", "", "/image/repository"),
        ("image.digest", "", "/image"),
        ("image.digest", "sha256:abc", "/image/digest"),
        ("temporal.address", "temporal.example", "/temporal/address"),
        ("temporal.addres", "temporal.example:7233", "addres"),
        ("temporal.tls.secretName", "No Such", "/temporal/tls/secretName"),
        ("vault.address", "vault.example:8200", "/vault/address"),
        ("vault.auth.method", "token", "/vault/auth/method"),
        ("vault.auth.method", "approle", "/vault/auth/approleSecretName"),
        ("workers.local", {"replicas": 1, "resources": {}}, "local"),
        ("workers.vault.replicas", "2", "/workers/vault/replicas"),
        ("quotas.default.clusters", -1, "/quotas/default/clusters"),
        ("quotas.owners", {"acme": {"nodes": 1}}, "nodes"),
        ("monitoring.rules", "yes", "/monitoring/rules"),
        ("replicas", 3, "replicas"),
    ],
)
def test_values_that_can_t_be_are_refused(path: str, value: Any, told: str) -> None:
    done = helm("template", "giantnetes", str(CHART), values=changed(path, value))
    assert done.returncode != 0
    assert told in done.stderr, done.stderr


def test_every_value_is_described_by_the_schema() -> None:
    known = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert known["properties"].keys() - {"global"} == values.keys()


def test_there_is_a_worker_for_each_queue_of_a_site() -> None:
    pods = pod_specs(rendered())
    assert pods.keys() == {"bridge", *(f"worker-{kind}" for kind in KINDS if kind not in ON_MACHINES)}
    assert pods.keys() == set(PROCESSES)
    polled = {name: variables(pod).get("GIANTNETES_QUEUES") for name, pod in pods.items()}
    assert all(polled[name] == name.removeprefix("worker-") for name in pods.keys() - {"bridge"})


def test_two_versions_of_workflows_never_run_side_by_side() -> None:
    deployments = of_kind(rendered(), "Deployment")
    strategies = {name: each["spec"].get("strategy") for name, each in deployments.items()}
    assert strategies.pop("worker-workflows") == {"type": "Recreate"}
    assert set(strategies.values()) == {None}


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING], ids=["needed", "everything"])
def test_a_drained_node_takes_one_pod_of_each_deployment_at_most(values: Json) -> None:
    objects = rendered(values)
    budgets = [each["spec"] for each in of_kind(objects, "PodDisruptionBudget").values()]
    for deployment in of_kind(objects, "Deployment").values():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        (budget,) = (each for each in budgets if each["selector"]["matchLabels"].items() <= labels.items())
        assert budget["maxUnavailable"] == 1
    assert len(budgets) == len(PROCESSES)


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING], ids=["needed", "everything"])
def test_no_container_is_root_s_or_writes_into_its_image(values: Json) -> None:
    for pod in pod_specs(rendered(values)).values():
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            holds = {**pod["securityContext"], **container["securityContext"]}
            assert (holds["runAsNonRoot"], holds["readOnlyRootFilesystem"]) == (True, True)
            assert holds["runAsUser"] > 0


def test_a_queue_may_be_left_to_workers_elsewhere() -> None:
    assert "worker-probes" not in pod_specs(rendered(changed("workers.probes", None)))


def test_only_who_needs_it_has_a_login() -> None:
    pods = pod_specs(rendered())
    assert {name for name, pod in pods.items() if pod["automountServiceAccountToken"]} == API
    assert {name for name, pod in pods.items() if "VAULT_ADDR" in variables(pod)} == VAULTED
    assert {name for name, pod in pods.items() if any(map(is_login, pod["volumes"] or ()))} == VAULTED
    accounts = of_kind(rendered(), "ServiceAccount")
    assert accounts.keys() == pods.keys()
    assert not any(account["automountServiceAccountToken"] for account in accounts.values())
    assert all(pod["serviceAccountName"] == f"giantnetes-{name}" for name, pod in pods.items())


def is_login(volume: Json) -> bool:
    return bool(volume["name"] == "vault-login")


def test_vault_s_token_is_for_vault_alone() -> None:
    (volume,) = filter(is_login, pod_specs(rendered())["worker-planning"]["volumes"])
    token = {"path": "token", "audience": "vault", "expirationSeconds": 3600}
    assert volume["projected"]["sources"] == [{"serviceAccountToken": token}]


def logins_of_vault_sh() -> dict[str, set[str]]:
    """Return the tasks of each process, as the script lets their service accounts in."""
    found: dict[str, set[str]] = {}
    for task, accounts in re.findall(r"^login (\S+) (\S+)$", (CHART / "vault.sh").read_text(), re.MULTILINE):
        for account in accounts.split(","):
            found.setdefault(account.removeprefix("giantnetes-"), set()).add(task)
    return found


def test_a_pod_has_the_login_files_of_its_own_tasks_alone() -> None:
    found = {}
    for name, pod in pod_specs(rendered(EVERYTHING)).items():
        for volume in filter(is_login, pod["volumes"] or ()):
            items = volume["secret"]["items"]
            assert all(item["key"] == item["path"] for item in items)
            found[name] = {item["key"].removesuffix(".json") for item in items}
    assert found == logins_of_vault_sh()
    assert set.union(*found.values()) == set(Task)


def test_secrets_are_named_and_never_copied() -> None:
    objects = rendered(EVERYTHING)
    assert not of_kind(objects, "Secret")
    pod = pod_specs(objects)["worker-vault"]
    assert variables(pod)["TEMPORAL_API_KEY"] == {"secretKeyRef": {"name": "temporal-token", "key": "token"}}
    assert {volume["name"]: (volume.get("secret") or {}).get("secretName") for volume in pod["volumes"]} == {
        "temporal": "temporal-client",
        "quotas": None,
        "vault-login": "approles",
        "vault-ca": None,
    }


def test_quotas_are_those_of_the_stack_unless_said_otherwise() -> None:
    def quotas(values: Json) -> Quotas:
        written = of_kind(rendered(values), "ConfigMap")["quotas"]["data"]["quotas.yaml"]
        return Quotas.model_validate(yaml.safe_load(written))

    assert quotas(NEEDED) == Quotas.model_validate(yaml.safe_load(QUOTAS.read_text()))
    assert quotas(EVERYTHING).owners["acme"].machines == 7


def test_connections_are_kept_to_what_each_process_needs() -> None:
    policies = of_kind(rendered(), "NetworkPolicy")
    everyone = policies.pop("all")["spec"]
    assert everyone["policyTypes"] == ["Ingress", "Egress"]
    assert [port["port"] for rule in everyone["egress"] for port in rule["ports"]] == [53, 53, 7233]
    assert [rule["ports"] for rule in everyone["ingress"]] == [[{"port": "metrics"}]]
    allowed = {}
    for name, policy in policies.items():
        (chosen,) = policy["spec"]["podSelector"]["matchExpressions"]
        (rule,) = policy["spec"]["egress"]
        allowed[name] = set(chosen["values"]), {port["port"] for port in rule["ports"]}
    cluster = TestCluster("local", "127.64.1.0/24").context
    served = {port for certificate in CERTIFICATES for port in ports(certificate, cluster)}
    assert allowed == {"api": (API, {443, 6443}), "vault": (VAULTED, {8200}), "guests": (GUESTS, served)}


@pytest.mark.parametrize(
    ("address", "port"), [("https://vault.example", 443), ("http://vault", 80), ("https://[::1]:8200/", 8200)]
)
def test_the_port_of_vault_is_its_address_s(address: str, port: int) -> None:
    policy = of_kind(rendered(changed("vault.address", address)), "NetworkPolicy")["vault"]
    assert policy["spec"]["egress"][0]["ports"] == [{"port": port}]


def notes(values: Json) -> str:
    """Return what is told to whoever installs the chart."""
    done = helm("install", "giantnetes", str(CHART), "--dry-run=client", values=values)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:")[2]


def test_whoever_installs_it_is_told_whom_temporal_is_for() -> None:
    told = " ".join(notes(NEEDED).split())
    assert "Tenants speak to Kubernetes only" in told
    assert "ask for client certificates (mTLS) and decide with an authorizer" in told
    assert "WARNING: these pods show Temporal neither a certificate nor a token" in told
    assert "WARNING: http" not in told
    assert "WARNING: http://vault is not encrypted" in notes(changed("vault.address", "http://vault"))
    assert "WARNING" not in notes(EVERYTHING)
