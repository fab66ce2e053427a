import re
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from api.cluster import ApiServerSpec, AuditSpec, OidcSpec
from api.rules import MACHINE_PORTS
from nodes.model import Layout, MachineConfig, Service
from nodes.render import render
from nodes.v1.policies import audit_policy, authentication
from planning.releases import load_releases
from tests.nodes.frozen import CASES, SELF_BOOTING, layout_of, make_request

RELEASE = load_releases()["1.37.2-1"]
LAYOUT = Layout()
ADDRESSES = ("address", "bindAddress", "healthzBindAddress")
"""Where programs that are told by a file are told what to bind."""


def machine(case: str) -> MachineConfig:
    return render(RELEASE, make_request(RELEASE.name, case), layout_of(case))


def flag(service: Service, name: str) -> list[str]:
    return [argument.partition("=")[2] for argument in service.argv if argument.startswith(f"--{name}=")]


def services(case: str) -> dict[str, Service]:
    return {service.name: service for service in machine(case).services}


@pytest.mark.parametrize("case", CASES)
def test_whatever_a_service_refers_to_is_made_by_the_machine(case: str) -> None:
    config, layout = machine(case), layout_of(case)
    certificates = {*config.certificates, *config.authorities}
    made = {file.path for file in config.files} | {*config.folders, "/etc/cni/net.d"}
    made |= {layout.certificate(name) for name in certificates}
    made |= {layout.key(name) for name in config.certificates} | {layout.secret(name) for name in config.secrets}
    text = "\n".join(
        [argument for service in config.services for argument in service.argv[1:]]
        + [file.content for file in config.files]
    )
    written = {f"{layout.etcd}/data", f"{layout.logs}/audit.log"}
    assert set(re.findall(r"/(?:etc|var)/[\w./-]+", text)) - written <= made


@pytest.mark.parametrize("case", CASES)
def test_all_that_is_certified_is_used(case: str) -> None:
    config = machine(case)
    text = "\n".join(argument for service in config.services for argument in service.argv)
    text += "\n".join(file.content for file in config.files)
    unused = [name for name in config.certificates if layout_of(case).key(name) not in text]
    assert not unused


@pytest.mark.parametrize("case", CASES)
def test_no_two_services_of_a_machine_share_a_port(case: str) -> None:
    ports = [port for service in machine(case).services for port in service.listens]
    assert len(ports) == len(set(ports))


@pytest.mark.parametrize("case", CASES)
def test_services_bind_the_machines_own_address_alone(case: str) -> None:
    config = machine(case)
    contents = {file.path: file.content for file in config.files}
    for service in (service for service in config.services if service.listens):
        bound = flag(service, "bind-address") + flag(service, "address") + flag(service, "listen-client-urls")
        settings = [yaml.safe_load(contents[path]) for path in flag(service, "config")]
        bound += [value for found in settings for key in ADDRESSES if (value := found.get(key))]
        assert bound
        if case in {"virtual-control-plane-of-three", SELF_BOOTING} and service.name == "kube-apiserver":
            assert bound == ["0.0.0.0"]  # noqa: S104 - the address that machines share comes and goes
        else:
            assert all(config.address in value for value in bound)


def test_only_several_slots_elect_leaders() -> None:
    assert flag(services("control-plane")["kube-scheduler"], "leader-elect") == ["false"]
    assert flag(services("control-plane-of-three")["kube-scheduler"], "leader-elect") == ["true"]


def test_etcd_members_are_the_slots() -> None:
    members = flag(services("control-plane-of-three")["etcd"], "initial-cluster")[0].split(",")
    assert members == [f"control-plane-{n}=https://127.64.7.{10 + n}:2380" for n in (1, 2, 3)]


def test_a_lone_etcd_member_does_not_wait_for_an_election() -> None:
    assert flag(services("control-plane")["etcd"], "election-timeout") == ["100"]
    assert not flag(services("control-plane-of-three")["etcd"], "election-timeout")


def test_kubernetes_refuses_loopback_endpoints_so_none_are_reconciled_there() -> None:
    assert flag(services("control-plane")["kube-apiserver"], "endpoint-reconciler-type") == ["none"]
    assert flag(services("control-plane-with-options")["kube-apiserver"], "endpoint-reconciler-type") == ["lease"]


def test_each_control_plane_uses_its_own_api_server_and_nodes_the_endpoint() -> None:
    [manager] = [file for file in machine("control-plane-of-three").files if "controller-manager" in file.path]
    [kubelet] = machine("node-with-labels-and-taints").files
    assert yaml.safe_load(manager.content)["clusters"][0]["cluster"]["server"] == "https://127.64.7.13:6443"
    assert yaml.safe_load(kubelet.content)["clusters"][0]["cluster"]["server"] == "https://127.64.7.10:6443"


def test_a_node_registers_with_its_labels_and_taints() -> None:
    [kubelet] = machine("node-with-labels-and-taints").services
    assert flag(kubelet, "node-labels") == ["example.com/tier=batch,giantnetes.io/pool=gpu"]
    assert flag(kubelet, "register-with-taints") == ["example.com/gpu=yes:NoSchedule,x=:NoExecute"]


def test_anonymous_requests_are_for_health_alone() -> None:
    files = {PurePosixPath(file.path).name: file.content for file in machine("control-plane").files}
    anonymous = yaml.safe_load(files["authentication.yaml"])["anonymous"]
    assert [condition["path"] for condition in anonymous["conditions"]] == ["/livez", "/readyz", "/healthz"]


def test_an_issuer_s_own_authority_is_trusted_for_it() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    oidc = OidcSpec(issuer_url="https://a", client_id="b", certificate_authority=pem)
    for spec, trusted in ((oidc, pem), (oidc.model_copy(update={"certificate_authority": None}), None)):
        [jwt] = yaml.safe_load(authentication(LAYOUT, ApiServerSpec(oidc=spec)).content)["jwt"]
        assert jwt["issuer"].get("certificateAuthority") == trusted


@given(st.builds(AuditSpec, level=st.sampled_from(["Metadata", "Request"])), st.booleans())
def test_the_audit_log_never_has_bodies_of_secrets(audit: AuditSpec, several: bool) -> None:
    rules = yaml.safe_load(audit_policy(LAYOUT, audit, several=several).content)["rules"]
    first = next(rule for rule in rules if _matches(rule, "", "secrets"))
    assert first["level"] == "Metadata"


def _matches(rule: dict[str, Any], group: str, resource: str) -> bool:
    if "nonResourceURLs" in rule:
        return False
    listed = rule.get("resources")
    return listed is None or any(item["group"] == group and resource in item["resources"] for item in listed)


@pytest.mark.parametrize("case", CASES)
def test_no_api_can_be_given_a_port_of_another_program(case: str) -> None:
    ports = {
        port for name, service in services(case).items() if name != "kube-apiserver" for port in service.listens
    }
    assert ports
    assert ports <= MACHINE_PORTS.keys()
