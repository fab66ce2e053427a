import configparser
import shlex
from pathlib import Path

import pytest
from temporalio.envconfig import ClientConfigProfile

from deploy.stack import Stack, openbao, services, supervisord
from deploy.stack.services import Service


def parsed(stack: Stack, table: list[Service]) -> configparser.RawConfigParser:
    supervisord.write_config(stack, table)
    parser = configparser.RawConfigParser()
    parser.read(supervisord.config_file(stack))
    return parser


@pytest.fixture
def table(stack: Stack) -> dict[str, Service]:
    return services.table(stack, services.executables(print))


def test_the_table_holds_every_service_after_those_that_it_needs(table: dict[str, Service]) -> None:
    assert tuple(table) == services.ALL
    for place, service in enumerate(table.values()):
        assert set(service.after) <= set(list(table)[:place])


def test_services_are_not_started_by_supervisord_itself_but_kept_alive(
    stack: Stack, table: dict[str, Service]
) -> None:
    config = parsed(stack, list(table.values()))
    for name in services.ALL:
        section = config[f"program:{name}"]
        assert section["autostart"] == "false"
        assert section["autorestart"] == "true"
        assert section["stdout_logfile"] == str(stack.logs / f"{name}.log")
        assert shlex.split(section["command"]) == list(table[name].command)


def test_our_own_processes_are_stopped_first_and_the_databases_last(table: dict[str, Service]) -> None:
    order = sorted(table, key=lambda name: -table[name].priority)
    assert order[:3] == ["worker", "bridge", "host-apiserver"]


def test_every_listener_is_on_loopback_and_on_a_port_of_the_stack(stack: Stack, table: dict[str, Service]) -> None:
    for service in table.values():
        assert not any(part.endswith(("=0.0.0.0", "=::")) for part in service.command)
        assert "127.0.0.1" in service.address
    used = [purpose for service in table.values() for purpose in service.ports]
    assert sorted(used) == sorted(type(stack.ports).model_fields)


def test_percent_signs_and_spaces_reach_the_command(stack: Stack) -> None:
    service = Service("odd", ("/bin/echo", "100%", "two words"), "nowhere", (), lambda: True)
    command = parsed(stack, [service])["program:odd"]["command"]
    assert shlex.split(command % {}) == list(service.command)


def test_the_socket_and_the_includes_are_where_others_look_for_them(stack: Stack) -> None:
    config = parsed(stack, [])
    assert config["unix_http_server"]["file"] == str(stack.supervisor_socket)
    assert stack.machines.parent == supervisord.config_file(stack).parent
    assert config["include"]["files"] == "machines/*.conf"
    assert not config.has_section("inet_http_server")


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "HTTP_PROXY", "VAULT_TOKEN", "KUBECONFIG"])
def test_credentials_and_proxies_of_the_caller_are_not_passed_on(name: str) -> None:
    assert not supervisord._inherited(name)


@pytest.mark.parametrize("name", ["PATH", "HOME", "LC_ALL", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_what_services_need_is_passed_on(name: str) -> None:
    assert supervisord._inherited(name)


def test_openbao_keeps_its_data_and_its_seal_in_the_state_folder(stack: Stack) -> None:
    config = openbao.config(stack)
    assert f'path = "{stack.state}/openbao/data"' in config
    assert f'current_key = "file://{stack.state}/openbao/seal.key"' in config
    assert f'address = "127.0.0.1:{stack.ports.openbao}"' in config


def test_each_task_has_a_policy_file() -> None:
    assert sorted(path.stem for path in openbao.POLICIES.glob("*.hcl")) == sorted(openbao.TASKS)


def test_the_worker_uses_this_stack_whatever_profile_the_user_has(
    tmp_path: Path, stack: Stack, table: dict[str, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "temporalio" / "temporal.toml"
    profile.parent.mkdir()
    profile.write_text(
        '[profile.default]\naddress = "example.com:7233"\nnamespace = "another"\napi_key = "secret"\n'
        "[profile.default.tls]\ndisabled = false\n"
    )
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert ClientConfigProfile.load(override_env_vars={}).namespace == "another"
    found = ClientConfigProfile.load(override_env_vars=table["worker"].environment)
    assert found == ClientConfigProfile(address=stack.temporal_address, namespace="default")


def test_the_worker_starts_in_the_project(stack: Stack, table: dict[str, Service]) -> None:
    directory = Path(parsed(stack, list(table.values()))["program:worker"]["directory"])
    assert (directory / "workers" / "worker").is_dir()
