"""Which certificates a machine holds, and the CAs that they are checked against."""

from contracts.certificates import held_by
from contracts.machines import MachineRequest
from contracts.vault import Authority


def authority_file(authority: Authority) -> str:
    """Return the name of a CA's certificate on machines."""
    return f"{authority}-ca"


def held_certificates(request: MachineRequest) -> dict[str, str]:
    """Return the certificates whose keys a machine makes, with each one's CA."""
    held = held_by(request.machine.role, request.cluster.spec.provider)
    return {certificate.name: authority_file(certificate.authority) for certificate in held}
