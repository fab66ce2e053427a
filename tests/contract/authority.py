"""Certificate authorities and sealed secrets for tests of machines, without Vault."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from activities.vault.sealing import new_encryption_key, new_service_account_key, seal, secret_files
from contracts.certificates import CERTIFICATES, Certificate, Usage
from contracts.context import ClusterContext
from contracts.machines import SEALED, MachinePlan, MachineRequests, MachineRole
from contracts.vault import Authority
from nodes.v1.trust import authority_file
from tests.support.guest import Identity

_USAGES = {Usage.SERVER: ExtendedKeyUsageOID.SERVER_AUTH, Usage.CLIENT: ExtendedKeyUsageOID.CLIENT_AUTH}


class TestAuthority:
    """One self-signed CA."""

    __test__ = False

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key(), timedelta(days=10))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = builder.sign(self._key, hashes.SHA256())

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def sign(
        self,
        public_key: CertificatePublicKeyTypes,
        kind: Certificate,
        cluster: ClusterContext,
        machine: MachinePlan,
        lifetime: timedelta = timedelta(days=1),
    ) -> str:
        names = [x509.NameAttribute(NameOID.COMMON_NAME, kind.subject(machine.name))]
        if kind.organization:
            names.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, kind.organization))
        builder = self._builder(x509.Name(names), public_key, lifetime)
        usages = [oid for usage, oid in _USAGES.items() if usage in kind.usage]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        dns = [x509.DNSName(name) for name in kind.dns_names(cluster, machine)]
        addresses = [x509.IPAddress(ip_address(address)) for address in kind.ip_addresses(cluster, machine)]
        if dns or addresses:
            builder = builder.add_extension(x509.SubjectAlternativeName([*dns, *addresses]), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    def _builder(
        self, subject: x509.Name, key: CertificatePublicKeyTypes, lifetime: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key,
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(hours=1),
            not_valid_after=now + lifetime,
        )


class TestVault:
    """What Vault is to a cluster: its CAs and its secrets."""

    __test__ = False

    def __init__(self, cluster: ClusterContext) -> None:
        self.cluster = cluster
        self.authorities = {authority: TestAuthority(f"{authority} of a test") for authority in Authority}
        self._secrets = secret_files(new_service_account_key(), new_encryption_key())

    def answer(
        self, machine: MachinePlan, booted: MachineRequests, lifetime: timedelta = timedelta(days=1)
    ) -> dict[str, str]:
        """Return the files for a machine: all that it asks for."""
        files = {}
        for name, request in booted.requests.items():
            kind = CERTIFICATES[name]
            public_key = x509.load_pem_x509_csr(request.encode()).public_key()
            authority = self.authorities[kind.authority]
            files[f"{name}.crt"] = authority.sign(public_key, kind, self.cluster, machine, lifetime)
        needed = Authority if machine.role is MachineRole.CONTROL_PLANE else [Authority.KUBERNETES]
        files |= {f"{authority_file(authority)}.crt": self.authorities[authority].pem for authority in needed}
        if booted.sealing_certificate:
            files[SEALED] = seal(self._secrets, booted.sealing_certificate)
        return files

    def client_certificate(self, cluster: ClusterContext, name: str, ttl_seconds: int) -> Identity:
        """Return one of our own clients (``activities.kubernetes.Identities``)."""
        key = ec.generate_private_key(ec.SECP256R1())
        kind, nobody = CERTIFICATES[name], MachinePlan(name="", role=MachineRole.NODE, host=1)
        authority, lifetime = self.authorities[kind.authority], timedelta(seconds=ttl_seconds)
        certificate = authority.sign(key.public_key(), kind, cluster, nobody, lifetime)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        return Identity(certificate, private, authority.pem, datetime.now(UTC) + lifetime)
