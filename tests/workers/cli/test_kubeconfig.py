"""``g8s kubeconfig`` against a real server: whose key, which groups, which file."""

import json
from base64 import b64decode
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from pydantic import ValidationError

from api.status import Phase
from tests.workers.cli.conftest import Program
from tests.workflows.conftest import Clusters
from workers.cli.errors import CliError
from workers.cli.kubeconfig import default_path, seconds, signing_request


@pytest.fixture
async def cluster(clusters: Clusters) -> AsyncIterator[str]:
    """A living cluster."""
    handle = await clusters.start("kubeconfig-cli")
    await clusters.until(handle, lambda status: status.phase == Phase.RUNNING)
    yield "kubeconfig-cli"
    await clusters.send(handle, "delete")
    await handle.result()


def test_the_request_is_for_a_new_p256_key() -> None:
    request, text = signing_request("jane", ["developers"], 60, break_glass=False)
    key = load_pem_private_key(text.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert isinstance(key.curve, ec.SECP256R1)
    signed = x509.load_pem_x509_csr(request.request.encode())
    assert signed.is_signature_valid
    assert signed.public_key() == key.public_key()
    assert text not in request.model_dump_json()
    assert signing_request("jane", [], 60, break_glass=False)[1] != text


@pytest.mark.parametrize(
    ("user", "groups", "ttl"), [("a b", [], 60), ("a", ["b,c"], 60), ("a", [], 3601), ("a", [], 1)]
)
def test_what_can_not_be_asked_for(user: str, groups: list[str], ttl: int) -> None:
    with pytest.raises(ValidationError):
        signing_request(user, groups, ttl, break_glass=False)


def test_lengths_of_time() -> None:
    assert [seconds(text) for text in ("90s", "30m", "1h")] == [90, 1800, 3600]
    for text in ("", "1", "1d", "-1h", "1h30m"):
        with pytest.raises(CliError, match="no length of time"):
            seconds(text)


def test_lengths_of_time_that_nobody_gets() -> None:
    for text in ("5h", "61m", "59s"):
        with pytest.raises(CliError, match="--ttl is at most 1h and at least 60s"):
            seconds(text)


def test_each_user_has_a_file_of_their_own() -> None:
    users = ("", "admin", "joe", "joe.admin")
    paths = {default_path("default", "demo", privileged=p, user=user) for p in (True, False) for user in users}
    assert len(paths) == 8
    assert "~/.kube/giantnetes.joe@default.demo.yaml" in paths


async def test_writes_a_private_file_and_says_how_to_use_it(cluster: str, g8s: Program) -> None:
    result = await g8s.run("kubeconfig", cluster)
    assert result.status == 0
    path = g8s.home / ".kube" / f"giantnetes.default.{cluster}.yaml"
    assert path.stat().st_mode & 0o777 == 0o600
    assert result.out == f"kubectl --kubeconfig {path} auth whoami\n"
    assert "for jane, valid until" in result.err
    assert "--group viewers, developers or admins" in result.err
    assert "clusterrolebinding" in result.err
    found = yaml.safe_load(path.read_text())
    [user], [server], [context] = found["users"], found["clusters"], found["contexts"]
    assert b64decode(user["user"]["client-certificate-data"]) == b"for jane"
    assert b"PRIVATE KEY" in b64decode(user["user"]["client-key-data"])
    assert server["cluster"]["server"] == "https://127.64.1.11:6443"
    assert b64decode(server["cluster"]["certificate-authority-data"]) == b"ca"
    assert context["name"] == found["current-context"]
    assert list(path.parent.iterdir()) == [path]


async def test_other_names_files_and_standard_output(cluster: str, g8s: Program, tmp_path: Path) -> None:
    target = tmp_path / "new" / "config"
    result = await g8s.run(
        "kubeconfig", cluster, "--user", "joe", "--group", "developers", "--output", str(target)
    )
    assert result.status == 0
    assert result.out == f"kubectl --kubeconfig {target} get nodes\n"
    assert "for joe of developers" in result.err
    assert yaml.safe_load(target.read_text())["users"][0]["name"] == f"joe@default/{cluster}"
    result = await g8s.run("kubeconfig", cluster, "--output", "-")
    assert yaml.safe_load(result.out)["kind"] == "Config"
    assert not (g8s.home / ".kube").exists()
    result = await g8s.run("kubeconfig", f"cluster/default/{cluster}", "--user", "joe")
    assert [path.name for path in (g8s.home / ".kube").iterdir()] == [f"giantnetes.joe@default.{cluster}.yaml"]


async def test_privileged_groups_take_breaking_the_glass(cluster: str, g8s: Program) -> None:
    wanted = ("kubeconfig", cluster, "--group", "system:masters")
    result = await g8s.run(*wanted)
    assert result.status == 1
    assert "system:masters are privileged: ask with --break-glass" in result.err
    assert not (g8s.home / ".kube").exists()
    result = await g8s.run(*wanted, "--break-glass")
    assert result.status == 0
    assert f"temporal workflow show --workflow-id cluster/default/{cluster}\n" in result.err
    path = g8s.home / ".kube" / f"giantnetes.default.{cluster}.admin.yaml"
    assert path.stat().st_mode & 0o777 == 0o600


async def test_errors_are_sentences(cluster: str, g8s: Program, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    result = await g8s.run("kubeconfig", cluster, "--output", str(blocked / "config"))
    assert result.status == 1
    assert str(blocked) in result.err
    result = await g8s.run("kubeconfig", cluster, "--user", "not a name")
    assert result.status == 1
    assert result.err.startswith("error: user: ")
    result = await g8s.run("kubeconfig", "nobody")
    assert result.status == 1
    assert "there is no cluster default/nobody" in result.err


async def test_who_was_given_a_certificate_is_listed(cluster: str, g8s: Program) -> None:
    assert "nobody" in (await g8s.run("access", cluster)).err
    await g8s.run("kubeconfig", cluster, "--user", "jane", "--group", "developers", "--output", "-")
    await g8s.run("kubeconfig", cluster, "--group", "giantnetes:cluster-admins", "--break-glass", "--output", "-")
    listed = (await g8s.run("access", cluster)).out.splitlines()
    assert listed[0].split() == ["USER", "GROUPS", "SERIAL", "GIVEN", "ENDS", "IN", "NOTE"]
    assert listed[1].split()[:3] == ["jane", "developers", "1"]
    assert listed[2].endswith("broke the glass")
    found = json.loads((await g8s.run("access", cluster, "-o", "json")).out)["items"]
    assert [item["breakGlass"] for item in found] == [False, True]
    assert found[0]["expiresAt"] > found[0]["issuedAt"]
