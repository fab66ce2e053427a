"""Each certificate at each endpoint: accepted where it should be, refused everywhere else."""

import hashlib
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from contracts.certificates import CERTIFICATES
from deploy.docs.access import ACCESS, ENDPOINTS, OTHERS, Outcome
from tests.e2e.matrix.asking import TOLD_GROUP, TOLD_USER, Answer, ask
from tests.e2e.matrix.credentials import Credential
from tests.e2e.matrix.subject import Subject

pytestmark = pytest.mark.timeout(180)

EVERYBODY = "system:authenticated"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"
CELLS = [
    pytest.param(name, endpoint, outcome, id=f"{name}-at-{endpoint}-{outcome}")
    for name, row in ACCESS.items()
    for endpoint, outcome in row.items()
]


def test_the_table_is_complete(credentials: Mapping[str, Credential]) -> None:
    assert set(ACCESS) == set(CERTIFICATES) | set(OTHERS) == set(credentials)
    assert all(set(row) == set(ENDPOINTS) for row in ACCESS.values())


@pytest.mark.parametrize(("name", "endpoint", "outcome"), CELLS)
def test_access(
    subject: Subject, credentials: Mapping[str, Credential], name: str, endpoint: str, outcome: Outcome
) -> None:
    answer = ask(subject, endpoint, credentials[name])
    assert answer.outcome == outcome
    if answer.user:
        _assert_is(answer, credentials[name])


def _assert_is(answer: Answer, credential: Credential) -> None:
    """The API server took the client for whom it should, because of this very certificate."""
    groups = set(answer.user["groups"])
    if answer.outcome is Outcome.AS_TOLD:
        assert (answer.user["username"], groups) == (TOLD_USER, {TOLD_GROUP, EVERYBODY})
        return
    assert (answer.user["username"], groups) == (credential.user, {*credential.groups, EVERYBODY})
    digest = hashlib.sha256(credential.parsed.public_bytes(Encoding.DER)).hexdigest()
    assert answer.user["extra"][CREDENTIAL_ID] == [f"X509SHA256={digest}"]
