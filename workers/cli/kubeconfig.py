"""``g8s kubeconfig``: a kubeconfig for a person, with a key that is made here and never leaves its file."""

import getpass
import re
from base64 import b64encode
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from activities import keys
from contracts.vault import UserCertificate
from contracts.workflows import KubeconfigRequest
from deploy.stack.files import write_private
from workers.cli.cluster import ClusterClient
from workers.cli.console import clock, errors
from workers.cli.errors import CliError, command
from workers.cli.options import Name, Namespace, named
from workers.cli.temporal import connected

STDOUT = "-"

_TTL = re.compile(r"(\d{1,6})(s|m|h)")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_MIN_S, _MAX_S = 60, 3600

User = Annotated[str, typer.Option(help="Whom the certificate names.", show_default="your login name")]
_READY = "viewers, developers or admins"
Groups = Annotated[
    list[str] | None,
    typer.Option("--group", help=f"A group that it names: {_READY}, or another; may be given again."),
]
Ttl = Annotated[str, typer.Option(help="How long it is valid: 60s to 1h.")]
BreakGlass = Annotated[
    bool,
    typer.Option("--break-glass", help="Ask for privileged groups (system:…, giantnetes:…); this is recorded."),
]
Target = Annotated[
    str,
    typer.Option(
        "--output",
        help=f"The file to write, {STDOUT} for standard output.",
        show_default="~/.kube/giantnetes.[USER@]NAMESPACE.NAME[.admin].yaml",
    ),
]


@command
async def kubeconfig(
    name: Name,
    *,
    namespace: Namespace = "default",
    user: User = "",
    group: Groups = None,
    ttl: Ttl = "1h",
    break_glass: BreakGlass = False,
    target: Target = "",
) -> int:
    """Write a kubeconfig (mode 0600) for a named user, valid for an hour or less.

    The key is made here; a signing request for it goes to the cluster's workflow, and only the certificate comes
    back. Kubernetes grants a user without groups nothing. In every cluster the group viewers may read (no secrets,
    no roles), developers may change what runs, and admins may also bind roles in namespaces. Bind other groups or
    the user yourself, or break the glass: g8s kubeconfig NAME --group giantnetes:cluster-admins --break-glass
    """
    namespace, name = named(name, namespace)
    request, key = signing_request(user or login(), group or [], seconds(ttl), break_glass=break_glass)
    cluster = ClusterClient(await connected(), namespace, name)
    certificate = await _signed(cluster, request)
    text = document(cluster.label, request.user, certificate, key)
    if target == STDOUT:
        typer.echo(text, nl=False)
        return 0
    path = expanded(target or default_path(namespace, name, privileged=break_glass, user=_another(user)))
    write_private(path, text)
    _explain(path, request, certificate)
    if break_glass:
        errors().print(
            "This is recorded in the worker's log and the cluster's history: "
            f"temporal workflow show --workflow-id {cluster.workflow}"
        )
    return 0


async def _signed(cluster: ClusterClient, request: KubeconfigRequest) -> UserCertificate:
    """Send the request; who may not have a group without breaking the glass is told how that is said here."""
    try:
        return await cluster.send("kubeconfig", request, UserCertificate)
    except CliError as error:
        if "breakGlass" not in error.message:
            raise
        raise CliError(error.message.replace("breakGlass", "--break-glass"), error.hint) from error


def signing_request(
    user: str, groups: list[str], ttl_seconds: int, *, break_glass: bool
) -> tuple[KubeconfigRequest, str]:
    """Return a request for a certificate and the new P-256 key (PEM) that it is for.

    Raises pydantic's ValidationError when user, groups or lifetime can't be asked for.
    """
    key = keys.new_key()
    request = KubeconfigRequest(
        request=keys.signing_request(key),
        user=user,
        groups=groups,
        ttl_seconds=ttl_seconds,
        break_glass=break_glass,
    )
    return request, key


def document(cluster: str, user: str, certificate: UserCertificate, key: str) -> str:
    """Return a kubeconfig (Kubernetes: kubeconfig v1) with all that it needs inside, as YAML."""
    context = f"{user}@{cluster}"
    found: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": cluster, "user": context}}],
        "clusters": [{"name": cluster, "cluster": _server(certificate)}],
        "users": [{"name": context, "user": _identity(certificate, key)}],
    }
    return yaml.safe_dump(found, sort_keys=False)


def default_path(namespace: str, name: str, *, privileged: bool, user: str = "") -> str:
    """Return where a kubeconfig is written unless told otherwise; ``user`` is empty for whoever runs this.

    A privileged one has a file of its own, so that nobody uses it without saying so, and so has each other user.
    Names have no dots and no ``@``, so no two of these files are the same.
    """
    owner = f"{user}@" if user else ""
    return f"~/.kube/giantnetes.{owner}{namespace}.{name}{'.admin' if privileged else ''}.yaml"


def _another(user: str) -> str:
    """Return the user if that is not whoever runs this."""
    with suppress(CliError):
        return "" if user == login() else user
    return user


def expanded(target: str) -> Path:
    """Return the absolute path of a file as a user names it; a leading ``~`` is the home folder."""
    return Path(target).expanduser().absolute()


def _server(certificate: UserCertificate) -> dict[str, str]:
    return {"server": certificate.endpoint, "certificate-authority-data": _encoded(certificate.authority)}


def _identity(certificate: UserCertificate, key: str) -> dict[str, str]:
    return {"client-certificate-data": _encoded(certificate.certificate), "client-key-data": _encoded(key)}


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _explain(path: Path, request: KubeconfigRequest, certificate: UserCertificate) -> None:
    groups = f" of {', '.join(request.groups)}" if request.groups else ""
    until = clock(datetime.fromisoformat(certificate.not_after))
    errors().print(f"{path}: for {request.user}{groups}, valid until {until}, serial {certificate.serial}")
    # Who has no groups may do nothing yet but ask who they are (Kubernetes: ClusterRole system:basic-user).
    typer.echo(f"kubectl --kubeconfig {path} {'get nodes' if request.groups else 'auth whoami'}")
    if not request.groups:
        errors().print(
            f"Without groups {request.user} may do what is bound to the name, which is nothing at first: "
            f"ask with --group {_READY}, or bind the name:\n"
            f"kubectl create clusterrolebinding {request.user}-views --clusterrole=view --user={request.user}"
        )


def login() -> str:
    """Return the name of whoever runs this; CliError when they have none, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        raise CliError("this process has no login name", "Say for whom the certificate is: --user NAME") from error


def seconds(ttl: str) -> int:
    """Return a length of time such as ``1h`` in seconds; CliError when it is none, or none that is allowed."""
    match = _TTL.fullmatch(ttl)
    if not match:
        raise CliError(f"--ttl {ttl} is no length of time", "Write it like 1h, 30m or 90s.")
    found = int(match[1]) * _SECONDS[match[2]]
    if not _MIN_S <= found <= _MAX_S:
        raise CliError(f"--ttl is at most 1h and at least 60s, not {ttl}", "Ask again when it has run out.")
    return found
