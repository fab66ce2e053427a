"""The API's address in front of several control plane machines: keepalived, VRRP (RFC 5798) between them.

One of the machines whose API server is ready holds the address. Another one takes it within four seconds when
that machine is gone, and after three questions, five seconds apart, when only its API server isn't ready. Nothing
outside of the machines is needed for that, so it goes on with workers, Temporal and Vault away.
"""

from nodes.model import File, Parts, Scope, Service
from nodes.v1.etcd import CONTROL_PLANE_WEIGHT

KEEPALIVED = "keepalived"
INTERFACE = "eth0"
"""The one network interface of a virtual machine (``net.ifnames=0`` on the kernel's command line)."""

ROUTER = 10
"""Number of the virtual router, the host number of its address: the machines' network has no other."""


def has_virtual_address(scope: Scope) -> bool:
    """Say whether several machines share the API's address by themselves."""
    return scope.runs_containers and len(scope.request.slots) > 1


def endpoint_parts(scope: Scope) -> Parts:
    """Return keepalived with its configuration and its question to the API server, where there is an address."""
    if not has_virtual_address(scope):
        return Parts()
    program, environment = scope.layout.tool("/usr/sbin/keepalived"), scope.layout.environment()
    argv = (program, "--dont-fork", "--log-console", "--vrrp", f"--use-file={_config_path(scope)}")
    return Parts(
        files=(File(_config_path(scope), _config(scope)), File(_check_path(scope), _check(scope))),
        services=(Service(KEEPALIVED, argv, environment, weight=CONTROL_PLANE_WEIGHT),),
    )


def _config(scope: Scope) -> str:
    """Return keepalived.conf(5). All are equal and none takes over from one that works: clients stay connected."""
    cluster = scope.request.cluster
    peers = "".join(
        f"        {cluster.address(slot.host)}\n"
        for slot in scope.request.slots
        if slot.name != scope.request.machine.name
    )
    return f"""global_defs {{
    router_id {scope.request.machine.name}
    enable_script_security
    script_user root
}}
vrrp_script api {{
    script "/usr/bin/bash {_check_path(scope)}"
    interval 5
    timeout 10
    fall 3
    rise 1
}}
vrrp_instance api {{
    state BACKUP
    nopreempt
    interface {INTERFACE}
    virtual_router_id {ROUTER}
    priority 100
    advert_int 1
    unicast_src_ip {scope.address}
    unicast_peer {{
{peers}    }}
    virtual_ipaddress {{
        {cluster.address(cluster.endpoint_host)}/32
    }}
    track_script {{
        api
    }}
}}
"""


def _check(scope: Scope) -> str:
    """Return a script that fails while the machine's API server isn't ready (Kubernetes: API health endpoints)."""
    trust = f"-verify_return_error -CAfile {scope.layout.certificate('kubernetes-ca')}"
    return f"""printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' |
    openssl s_client -quiet {trust} -connect {scope.address}:{scope.port} 2>/dev/null |
    grep -q '^HTTP/1.[01] 200'
"""


def _config_path(scope: Scope) -> str:
    return f"{scope.layout.config}/keepalived.conf"


def _check_path(scope: Scope) -> str:
    return f"{scope.layout.config}/api-ready.sh"
