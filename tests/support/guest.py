"""A real guest cluster for tests: the services of our node templates, on loopback addresses of their own."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from activities.kubernetes.client import KubernetesClient
from activities.kubernetes.identity import mutual_tls
from activities.vault.sealing import new_encryption_key, new_service_account_key, secret_files
from api.cluster import ClusterSpec
from contracts.certificates import CERTIFICATES, Certificate, Usage
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.machines import MachinePlan, MachineRequest, MachineRole
from contracts.vault import Authority
from deploy.binaries import Part, ensure
from nodes.model import Layout, MachineConfig, Service
from nodes.render import render
from planning.create import CONTROL_PLANE, machine_groups
from planning.releases import load_releases

RELEASE = "1.37.2-1"
START_SECONDS = 60
STOP_SECONDS = 10

_USAGES = {Usage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Usage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}


@dataclass(frozen=True)
class Identity:
    """A certificate with key and CA, PEM."""

    cert_pem: str
    key_pem: str = field(repr=False)
    ca_pem: str
    not_after: datetime


class CertificateAuthority:
    """A self-signed CA in memory."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        builder = _builder(self._name, self._name, self._key)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.pem = _pem(builder.sign(self._key, hashes.SHA256()))

    def issue(self, kind: Certificate, cluster: ClusterContext, machine: MachinePlan) -> Identity:
        """Return a certificate of a kind, as ``contracts.certificates`` describes it."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in kind.dns_names(cluster, machine)]
        names += [x509.IPAddress(ip_address(text)) for text in kind.ip_addresses(cluster, machine)]
        usages = [usage for flag, usage in _USAGES.items() if flag in kind.usage]
        subject = _name(kind.subject(machine.name), kind.organization)
        builder = _builder(subject, self._name, key).add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return Identity(_pem(certificate), key_pem, self.pem, certificate.not_valid_after_utc)


def _name(common_name: str, organization: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    """Return a certificate to be, valid from an hour ago (clocks differ) until tomorrow."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


_NOBODY = MachinePlan(name="", role=MachineRole.NODE, host=1)
"""No machine holds the certificates of our activities, so their names have no machine in them."""


class TestIdentities:
    """Identities of our activities, from CAs in memory. ``instead`` lets one name get another's certificate."""

    __test__ = False

    def __init__(self) -> None:
        self.authorities = {authority: CertificateAuthority(authority) for authority in Authority}
        self.instead: dict[str, str] = {}

    def client_certificate(self, cluster: ClusterContext, name: str, ttl_seconds: int) -> Identity:  # noqa: ARG002
        """Issue a certificate of the kind ``name``."""
        kind = CERTIFICATES[self.instead.get(name, name)]
        return self.authorities[kind.authority].issue(kind, cluster, _NOBODY)


class GuestCluster:
    """A control plane machine and nodes, below ``folder``. Nothing runs before ``start_control_plane``."""

    def __init__(self, folder: Path, network: str, **spec: Any) -> None:
        document = {"provider": "local", "owner": "acme", "release": RELEASE, **spec}
        self.context = ClusterContext(
            cluster_id="guest-1",
            namespace="default",
            name="guest",
            spec=ClusterSpec.model_validate(document),
            machine_network=network,
        )
        groups = machine_groups(self.context.spec)
        self.slots = groups.pop(CONTROL_PLANE)
        self.nodes = [machine for group in groups.values() for machine in group]
        self.identities = TestIdentities()
        self._secrets = secret_files(new_service_account_key(), new_encryption_key())
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = folder
        self._release = load_releases()[RELEASE]
        parts = {"kubernetes": self._release.kubernetes, "etcd": self._release.etcd}
        found = ensure([Part(name=name, version=part.version) for name, part in parts.items()])
        self._binaries = {command: str(path) for command, path in found.items()}

    def start_control_plane(self) -> None:
        """Start etcd and the API server at once, and the rest when the API answers."""
        [slot] = self.slots
        services = self.install(slot).services
        for service in services:
            if service.needs is None:
                self.launch(slot.name, service)
        self.await_ready(self.context.endpoint)
        for service in services:
            if service.needs is not None:
                self.launch(slot.name, service)

    def start_nodes(self, machines: list[MachinePlan]) -> None:
        """Start the kubelets of machines."""
        for machine in machines:
            for service in self.install(machine).services:
                self.launch(machine.name, service)

    def client(self, name: str, url: str = "") -> KubernetesClient:
        """Return a client with the identity ``name``."""
        identity = self.identities.client_certificate(self.context, name, 600)
        return KubernetesClient(url or self.context.endpoint, mutual_tls(identity))

    def await_ready(self, url: str) -> None:
        """Return when an API server is ready."""
        deadline = time.monotonic() + START_SECONDS
        with self.client("super-admin", url) as client:
            while time.monotonic() < deadline:
                with contextlib.suppress(StepError):
                    if client.ask("GET", "/readyz").status == 200:
                        return
                time.sleep(0.05)
        raise TimeoutError(f"{url} was not ready within {START_SECONDS} s: see {self._folder}/*.log")

    def serial(self, machine: str, certificate: str) -> str:
        """Return the serial number of a machine's certificate, as Vault writes it: hexadecimal, with colons."""
        text = next((self._folder / machine).rglob(f"{certificate}.crt")).read_bytes()
        return x509.load_pem_x509_certificate(text).serial_number.to_bytes(20).hex(":")

    def install(self, machine: MachinePlan) -> MachineConfig:
        """Write a machine's files, keys and certificates, as its provider would."""
        folder = self._folder / machine.name
        layout = Layout(
            config=f"{folder}/config",
            state=f"{folder}/state",
            etcd=f"{folder}/etcd",
            logs=f"{folder}/logs",
            binaries=self._binaries,
        )
        request = MachineRequest(cluster=self.context, machine=machine, slots=self.slots)
        config = render(self._release, request, layout)
        for name in config.folders:
            Path(name).mkdir(parents=True, exist_ok=True)
        files = {file.path: file.content for file in config.files}
        files |= self._certificates(config, machine, layout)
        files |= {layout.secret(name): self._secrets[name] for name in config.secrets}
        for path, content in files.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(content)
        return config

    def _certificates(self, config: MachineConfig, machine: MachinePlan, layout: Layout) -> dict[str, str]:
        authorities = self.identities.authorities
        files = {layout.certificate(f"{name}-ca"): authority.pem for name, authority in authorities.items()}
        for name in config.certificates:
            kind = CERTIFICATES[name]
            identity = authorities[kind.authority].issue(kind, self.context, machine)
            files |= {layout.certificate(name): identity.cert_pem, layout.key(name): identity.key_pem}
        return files

    def launch(self, machine: str, service: Service) -> None:
        """Start a service. The kernel kills it should the tests be killed (prctl(2), PR_SET_PDEATHSIG)."""
        environment = {**os.environ, **service.environment, "TMPDIR": str(self._folder)}
        with (self._folder / f"{machine}.{service.name}.log").open("wb") as log:
            self.processes[f"{machine}/{service.name}"] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *service.argv],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @contextlib.contextmanager
    def hanging(self, process: str) -> Iterator[None]:
        """Let a process, as "machine/service", hang meanwhile."""
        self.processes[process].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.processes[process].send_signal(signal.SIGCONT)

    def stop(self, process: str) -> None:
        """Kill a process and wait for its end."""
        handle = self.processes.pop(process)
        handle.kill()
        handle.wait(STOP_SECONDS)

    def stop_all(self) -> None:
        """Kill whatever was started."""
        for process in list(self.processes):
            self.stop(process)


@contextlib.contextmanager
def claimed_network() -> Iterator[str]:
    """Give a /24 of loopback that no other run of tests has."""
    for number in secrets.SystemRandom().sample(range(256), 256):
        with socket.socket() as holder:
            if _bound(holder, f"127.66.{number}.1"):
                yield f"127.66.{number}.0/24"
                return
    raise RuntimeError("all networks below 127.66.0.0/16 are taken: end another run of tests first")


def _bound(holder: socket.socket, address: str) -> bool:
    try:
        holder.bind((address, 6443))
    except OSError:
        return False
    return True
