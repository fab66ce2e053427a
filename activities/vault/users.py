"""Client certificates of people."""

import re

import structlog
from temporalio import activity

from activities.vault.client import VaultClient
from activities.vault.passing import PassingRoles
from activities.vault.paths import authority_mount
from activities.vault.requests import check_request
from activities.vault.roles import USER_TTL_SECONDS, user_role
from activities.vault.signing import read_authority
from api.errors import ErrorCode
from api.model import RESERVED_PREFIXES
from contracts import activities as names
from contracts.errors import StepError
from contracts.vault import Authority, UserCertificate, UserCertificateRequest

log = structlog.get_logger(__name__)

MIN_TTL_SECONDS = 60
MAX_GROUPS = 16

_USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._+-]{0,62}")
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,62}")


class UserCertificates:
    """Signs certificates of people, each at a role for that one request."""

    def __init__(self, admin: VaultClient, signer: VaultClient) -> None:
        """Use the logins of ``mount-admin``, which makes and removes the role, and of ``signer``."""
        self._roles = PassingRoles(admin, signer)
        self._signer = signer

    @activity.defn(name=names.SIGN_USER_CERTIFICATE)
    def sign(self, request: UserCertificateRequest) -> UserCertificate:
        """Return a client certificate for at most an hour.

        Raises ``StepError`` InvalidSpec for a lifetime, a name or a request that is not allowed; groups with
        one of ``RESERVED_PREFIXES`` want ``break_glass``, and no user may be called like one of Kubernetes'
        components at all.
        """
        problems = user_problems(request)
        if problems:
            raise StepError(ErrorCode.INVALID_SPEC, "; ".join(problems))
        mount = authority_mount(request.cluster.cluster_id, Authority.KUBERNETES)
        authority = read_authority(self._signer, request.cluster, Authority.KUBERNETES)
        signed = self._roles.sign(mount, user_role(request), request.request, request.user)
        answer = UserCertificate(
            certificate=signed.certificate,
            authority=authority,
            endpoint=request.cluster.endpoint,
            serial=signed.serial,
            not_after=signed.expires_at.isoformat(),
        )
        _record(request, answer)
        return answer


def user_problems(request: UserCertificateRequest) -> list[str]:
    """Return a sentence for every fault of a request, none when it may be signed. Pure."""
    problems = [_request_problem(request.request), _user_problem(request.user)]
    problems += [_group_problem(group, request.break_glass) for group in request.groups]
    if not MIN_TTL_SECONDS <= request.ttl_seconds <= USER_TTL_SECONDS:
        problems.append(f"ttlSeconds: {request.ttl_seconds} is not from {MIN_TTL_SECONDS} to {USER_TTL_SECONDS}")
    if len(request.groups) > MAX_GROUPS:
        problems.append(f"groups: {len(request.groups)} are more than {MAX_GROUPS}")
    if not request.cluster.machine_network:
        problems.append(f"cluster: {request.cluster.name} has no address yet; try again when it is being made")
    return [problem for problem in problems if problem]


def _request_problem(request: str) -> str:
    try:
        check_request(request)
    except ValueError as error:
        return f"request: {error}"
    return ""


def _user_problem(user: str) -> str:
    if not _USER.fullmatch(user):
        return (
            f"user: {user[:80]!r} may have 63 letters, digits and @._+- and begins with a letter or digit; "
            "names with a colon are those of components"
        )
    return ""


def _group_problem(group: str, break_glass: bool) -> str:
    if not _GROUP.fullmatch(group):
        return f"groups: {group[:80]!r} may have 63 letters, digits and :._- and begins with a letter or digit"
    if group.lower().startswith(RESERVED_PREFIXES) and not break_glass:
        return f"groups: {group} is reserved; in an emergency ask for it with --break-glass, which is logged"
    return ""


def _record(request: UserCertificateRequest, answer: UserCertificate) -> None:
    """Write down who got what until when, never the certificate."""
    write = log.warning if request.break_glass else log.info
    write(
        "break-glass user certificate signed" if request.break_glass else "user certificate signed",
        cluster_id=request.cluster.cluster_id,
        user=request.user,
        groups=sorted(request.groups),
        serial=answer.serial,
        until=answer.not_after,
    )
