"""IssueCertificate with scripted activities: order, what is tried again, what ends it."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.testing import WorkflowEnvironment

from api.certificate import CertificateSpec
from api.errors import ErrorCode
from contracts import activities as names
from contracts import queues
from contracts.errors import StepError
from contracts.issuing import (
    ISSUE_CERTIFICATE,
    ClientCertificate,
    ClientSigningRequest,
    HeldCertificate,
    IssuedCertificate,
    IssueRequest,
    KeyAnswer,
    KeyRequest,
    StoreAnswer,
    StoreRequest,
)
from contracts.reporting import ResourceReference
from contracts.vault import Authority, AuthorityFacts
from tests.activities.vault.support import new_cluster
from tests.support.temporal import SANDBOX
from workers.worker.interceptors import ActivityBoundary
from workers.worker.serving import Queue, make_workers, workflow_queue

NOW = datetime.now(UTC)
HELD = HeldCertificate(
    serial="01", not_before=NOW, not_after=NOW + timedelta(days=1), authority="CA", wanted="", reason="new"
)
START = IssueRequest(
    resource=ResourceReference(namespace="default", name="prometheus", uid="u-1"),
    generation=3,
    spec=CertificateSpec.model_validate(
        {"clusterName": "demo", "component": "prometheus", "commonName": "prometheus"}
    ),
    cluster=new_cluster(name="demo"),
)


class Issuer:
    """Answers as the real activities do, and fails as it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.errors: dict[str, list[ErrorCode]] = {}
        self.lost = 0
        self.held = False

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if errors := self.errors.get(name):
            raise StepError(errors.pop(0), "as told")

    @activity.defn(name=names.FIND_AUTHORITY)
    def find(self, _: IssueRequest) -> AuthorityFacts:
        self._called("find")
        return AuthorityFacts(authority=Authority.KUBERNETES, certificate="CA")

    @activity.defn(name=names.PREPARE_KEY)
    def prepare(self, _: KeyRequest) -> KeyAnswer:
        self._called("prepare")
        return KeyAnswer(held=HELD) if self.held else KeyAnswer(reason="new", request="request")

    @activity.defn(name=names.SIGN_CLIENT_CERTIFICATE)
    def sign(self, _: ClientSigningRequest) -> ClientCertificate:
        self._called("sign")
        return ClientCertificate(certificate="certificate")

    @activity.defn(name=names.STORE_CERTIFICATE)
    def store(self, _: StoreRequest) -> StoreAnswer:
        self._called("store")
        self.lost -= 1
        return StoreAnswer(held=None if self.lost >= 0 else HELD)

    @activity.defn(name=names.REMOVE_CERTIFICATE)
    def remove(self, _: ResourceReference) -> None:
        self._called("remove")


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@contextlib.asynccontextmanager
async def served_issuer(environment: WorkflowEnvironment, issuer: Issuer) -> AsyncIterator[Client]:
    """Serve all queues that certificates need, and give a client."""
    served = [
        workflow_queue(),
        Queue(queues.vault("default"), [issuer.find, issuer.sign]),
        Queue(queues.HOST, [issuer.prepare, issuer.store, issuer.remove]),
    ]
    async with contextlib.AsyncExitStack() as stack:
        for worker in make_workers(environment.client, served, [ActivityBoundary()], SANDBOX):
            await stack.enter_async_context(worker)
        yield environment.client


@pytest.fixture
async def issue(temporal: WorkflowEnvironment, issuer: Issuer) -> AsyncIterator[Callable[[str], Any]]:
    """Runs the workflow under an id, and returns what it does."""

    async def run(name: str) -> IssuedCertificate:
        found: IssuedCertificate = await client.execute_workflow(
            ISSUE_CERTIFICATE, START, id=name, task_queue=queues.CLUSTERS, result_type=IssuedCertificate
        )
        return found

    async with served_issuer(temporal, issuer) as client:
        yield run


async def test_a_key_is_made_before_it_is_signed_and_stored(issue: Any, issuer: Issuer) -> None:
    assert await issue("issued") == IssuedCertificate(held=HELD)
    assert issuer.calls == ["find", "prepare", "sign", "store"]


async def test_nothing_is_signed_that_is_not_due(issue: Any, issuer: Issuer) -> None:
    issuer.held = True
    assert (await issue("held")).held == HELD
    assert issuer.calls == ["find", "prepare"]


async def test_a_lost_key_is_made_anew(issue: Any, issuer: Issuer) -> None:
    issuer.lost = 1
    assert (await issue("lost")).held == HELD
    assert issuer.calls == ["find", "prepare", "sign", "store", "prepare", "sign", "store"]


async def test_vault_that_is_sealed_is_waited_for(issue: Any, issuer: Issuer) -> None:
    issuer.errors = {"find": [ErrorCode.VAULT_SEALED], "sign": [ErrorCode.VAULT_SEALED, ErrorCode.VAULT_DENIED]}
    assert (await issue("sealed")).held == HELD
    assert issuer.calls == ["find", "find", "prepare", "sign", "sign", "sign", "store"]


@pytest.mark.parametrize(
    ("step", "code"),
    [
        ("find", ErrorCode.INVALID_SPEC),
        ("find", ErrorCode.CLUSTER_NOT_READY),
        ("prepare", ErrorCode.NAME_CONFLICT),
        ("sign", ErrorCode.INVALID_SPEC),
        ("store", ErrorCode.INVALID_SPEC),
    ],
)
async def test_what_may_not_be_had_ends_it_with_a_reason(
    issue: Any, issuer: Issuer, step: str, code: ErrorCode
) -> None:
    issuer.errors = {step: [code]}
    with pytest.raises(WorkflowFailureError) as failed:
        await issue(f"refused-{step}-{code}")
    assert isinstance(failed.value.cause, ActivityError)
    assert isinstance(failed.value.cause.cause, ApplicationError)
    assert (failed.value.cause.cause.type, failed.value.cause.cause.message) == (code, "as told")
    assert issuer.calls[-1] == step
