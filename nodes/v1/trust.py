"""Which certificates a machine holds, and the CAs that they are checked against."""

from contracts.certificates import held_by
from contracts.machines import MachineRole
from contracts.vault import Authority


def authority_file(authority: Authority) -> str:
    """Return the name of a CA's certificate on machines."""
    return f"{authority}-ca"


def held_certificates(role: MachineRole) -> dict[str, str]:
    """Return the certificates whose keys a machine of ``role`` makes, with each one's CA."""
    return {certificate.name: authority_file(certificate.authority) for certificate in held_by(role)}
