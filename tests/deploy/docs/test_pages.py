"""The generated pages are those in docs/, and their tables cover everything."""

from pathlib import Path

import pytest

from activities.vault.roles import BACKDATED, ROOT_TTL, SHORT_TTL_SECONDS, USER_TTL_SECONDS
from activities.vault.users import MIN_TTL_SECONDS
from api.cluster import CertificatesSpec
from contracts.certificates import CERTIFICATES
from deploy.docs import pages
from deploy.docs.access import ACCESS, CONNECTIONS, ENDPOINTS, OTHERS


@pytest.mark.parametrize(("path", "content"), pages().items(), ids=lambda value: getattr(value, "name", ""))
def test_a_page_is_current(path: Path, content: str) -> None:
    assert path.read_text() == content, "write it anew with `just docs`"


def test_every_certificate_is_expected_somewhere() -> None:
    assert ACCESS.keys() == CERTIFICATES.keys() | OTHERS.keys()
    assert all(row.keys() == ENDPOINTS.keys() for row in ACCESS.values())


def test_every_certificate_is_presented_somewhere() -> None:
    presented = {name for connection in CONNECTIONS for name in (connection.presents, connection.expects)}
    served = {endpoint.server for endpoint in ENDPOINTS.values()}
    assert CERTIFICATES.keys() - presented - served == {"front-proxy-client", "super-admin"}


def test_the_lifetimes_that_the_text_tells() -> None:
    assert (ROOT_TTL, BACKDATED) == ("87600h", "1h")
    assert SHORT_TTL_SECONDS == {"admin": 600, "etcd-healthcheck-client": 600, "super-admin": 600}
    assert (MIN_TTL_SECONDS, USER_TTL_SECONDS) == (60, 3600)
    assert CertificatesSpec().leaf_ttl_hours == CertificatesSpec.model_fields["leaf_ttl_hours"].default == 7 * 24
