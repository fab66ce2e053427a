"""The demo around its way from a stack that runs to a kubeconfig, which tests/e2e has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from temporalio.envconfig import ClientConfigProfile

from api.cluster import Cluster
from deploy.stack import Ports, Stack
from tests.workers.cli.conftest import PROJECT
from workers.cli.demo import EXAMPLE, Demo, _farewell

PROFILE = """\
[profile.default]
address = "127.0.0.1:1"
namespace = "somebody-elses"
api_key = "secret"
[profile.default.tls]
disabled = false
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder and a login name of the test's own; settings that name another Temporal are not followed."""
    profile = tmp_path / ".config" / "temporalio" / "temporal.toml"
    profile.parent.mkdir(parents=True)
    profile.write_text(PROFILE)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "jane")
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    return tmp_path


def test_the_example_is_one_control_plane_machine_and_three_nodes() -> None:
    wanted = Cluster.model_validate_json(EXAMPLE.read_text())
    assert wanted.spec.provider == "local"
    assert wanted.spec.control_plane.replicas == 1
    assert [pool.replicas for pool in wanted.spec.node_pools] == [3]


@pytest.mark.usefixtures("home")
def test_the_last_lines_lead_to_this_stack_whatever_profile_the_user_has() -> None:
    stack = Stack(state=Path("/s"), ports=Ports(), supervisor_socket=Path("/s/socket"))
    demo = Demo(EXAMPLE, stack, Path("/cache/kubectl"))
    export = _farewell(demo).splitlines()[0].removeprefix("export ")
    variables = dict(word.split("=", 1) for word in export.split())
    profile = ClientConfigProfile.load(override_env_vars={**os.environ, **variables})
    assert profile == ClientConfigProfile(address="127.0.0.1:7233", namespace="default")


def test_what_the_machine_lacks_is_told_in_words(tmp_path: Path) -> None:
    environment = {**os.environ, "GIANTNETES_STATE": str(tmp_path / "no spaces please"), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "workers.cli.demo"]
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: The folder ")
    assert "GIANTNETES_STATE" in done.stderr
    assert len(done.stderr.splitlines()) == 2
