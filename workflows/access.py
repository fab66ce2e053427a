"""Logging in to a cluster: certificates for named people, signed on request."""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

from api.errors import ErrorCode
from contracts import activities as names
from contracts import queues
from contracts.vault import UserCertificate, UserCertificateRequest
from contracts.workflows import Access, Accesses, CertificatesAnswer, KubeconfigRequest
from workflows import policies
from workflows.entity import Entity, refusal
from workflows.failures import error_status


class People:
    """The part of the ``Cluster`` workflow that people ask for certificates."""

    _entity: Entity

    @workflow.update(description="Sign a client certificate: {request, user, groups, ttlSeconds, breakGlass}.")
    async def kubeconfig(self, request: KubeconfigRequest) -> UserCertificate:
        """Have a certificate signed for a named person, for an hour or less."""
        context = self._entity.context
        try:
            certificate: UserCertificate = await workflow.execute_activity(
                names.SIGN_USER_CERTIFICATE,
                UserCertificateRequest(cluster=context, **request.model_dump()),
                result_type=UserCertificate,
                task_queue=queues.vault(context.spec.site),
                start_to_close_timeout=policies.start_to_close(names.SIGN_USER_CERTIFICATE),
                schedule_to_close_timeout=timedelta(seconds=30),
                summary=f"certificate for {request.user}",
            )
        except ActivityError as error:
            described = error_status(error)
            raise refusal(ErrorCode(described.code), f"{described.message}; {described.hint}") from error
        self._entity.record_access(
            Access(
                user=request.user,
                groups=request.groups,
                serial=certificate.serial,
                issued_at=workflow.now(),
                expires_at=datetime.fromisoformat(certificate.not_after),
                break_glass=request.break_glass,
            )
        )
        return certificate

    @workflow.query(description="Which people were given certificates, and until when.")
    def accesses(self) -> Accesses:
        """Return the last ones."""
        return Accesses(items=self._entity.accesses)

    @workflow.query(description="Which certificates the machines have, and when they are renewed.")
    def certificates(self) -> CertificatesAnswer:
        """Return what is known of the machines' certificates."""
        entity = self._entity
        return CertificatesAnswer(
            context=entity.context,
            issued=entity.issued,
            rotate_at=entity.rotate_at,
            unrenewed=entity.unrenewed,
            awaited=list(entity.awaited.values()),
        )

    @kubeconfig.validator
    def check_kubeconfig(self, request: KubeconfigRequest) -> None:
        """Refuse before the cluster lives, and privileged groups without the word for it."""
        if not self._entity.created or self._entity.wishes.delete:
            raise refusal(
                ErrorCode.API_NOT_READY, f"the cluster is {self._entity.phase}, there is no API to log in to"
            )
        privileged = [group for group in request.groups if group.startswith(("system:", "giantnetes:"))]
        if privileged and not request.break_glass:
            raise refusal(
                ErrorCode.INVALID_SPEC,
                f"groups {', '.join(privileged)} are privileged: ask with breakGlass, which is recorded",
            )
