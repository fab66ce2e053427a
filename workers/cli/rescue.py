"""``g8s rescue``: the certificates of a cluster's machines, renewed straight from Vault while Temporal is away."""

from workers.cli.errors import command
from workers.cli.options import Name, Namespace, named


@command
async def rescue(name: Name, *, namespace: Namespace = "default") -> int:
    """Renew all certificates of a cluster's machines straight from Vault, while Temporal is away.

    For an outage that outlasts certificates. It needs Vault and the machines, but no certificate that is still
    valid, and neither Temporal nor its database, workers or the host cluster. Run it where the worker's logins to
    Vault are, with a worker's settings (VAULT_ADDR, GIANTNETES_APPROLES, GIANTNETES_STATE and so on); those of the
    local stack are found. Virtual machines are renewed on the hypervisor that has them, as root; those that others
    have are named.

    While Temporal works use `g8s certificates NAME --renew`; an operation that is under way is not touched.
    Ctrl-C stops it between two steps: each machine has either all of its new certificates or all of its old ones.
    The exit status is 1 when a machine was not renewed; run it again then.
    """
    # No other command needs what this one does, and half a second to import it.
    from workers.cli.rescuing import rescue_cluster  # noqa: PLC0415

    return await rescue_cluster(*named(name, namespace))
