"""Every command explains itself."""

import pytest
from typer.testing import CliRunner

from contracts.certificates import USER_FACING_ROLES
from workers.cli.main import app

WORDS = {
    "list": ["visibility", "--output"],
    "status": ["--watch", "exit status"],
    "logs": ["--follow", "--tail", "component"],
    "kubeconfig": ["--break-glass", "--ttl", "0600", *USER_FACING_ROLES],
    "leftovers": ["exit status", "terminated"],
    "rescue": ["VAULT_ADDR", "hypervisor", "exit status"],
}


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, arguments)
    return result.exit_code, result.output


def test_help_names_every_command() -> None:
    status, text = run("--help")
    assert status == 0
    assert all(command in text for command in WORDS)
    assert "TEMPORAL_ADDRESS" in text


@pytest.mark.parametrize("command", WORDS)
def test_each_command_has_help(command: str) -> None:
    status, text = run(command, "--help")
    assert status == 0
    assert [word for word in WORDS[command] if word not in text] == []


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("status",), ("status", "x", "--nonsense"), ("logs", "x", "--tail", "-1")]
)
def test_wrong_usage_is_status_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments)[0] == 2
