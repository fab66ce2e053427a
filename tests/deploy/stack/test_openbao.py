"""OpenBao's first start, its logins and its recovery, against a real one."""

import json
import stat
from pathlib import Path

import hvac
import psutil
import pytest
from hvac.exceptions import Forbidden, InvalidRequest

from deploy.stack import Stack, StackError, down, openbao, supervisord, up
from deploy.stack.openbao import TASKS


@pytest.fixture(scope="module")
def bao(shared_stack: Stack) -> Stack:
    up(print, only=["openbao"])
    return shared_stack


def login(stack: Stack, task: str) -> hvac.Client:
    client = hvac.Client(url=stack.vault_address, token="")
    client.auth.approle.login(**json.loads(stack.approle_file(task).read_text()))
    return client


def restart() -> None:
    down(print)
    up(print, only=["openbao"])


def test_each_task_logs_in_with_its_own_policy_for_a_limited_time(bao: Stack) -> None:
    for task in TASKS:
        token = login(bao, task).lookup_token()["data"]
        assert token["policies"] == ["default", task]
        assert 0 < token["ttl"] <= 3600


def test_no_task_gets_at_what_is_anothers(bao: Stack) -> None:
    registry, sealer = login(bao, "registry"), login(bao, "sealer")
    sealer.secrets.kv.v2.create_or_update_secret("secrets/c1/encryption", {"key": "k"}, mount_point="giantnetes")
    with pytest.raises(Forbidden):
        sealer.secrets.kv.v2.create_or_update_secret(
            "secrets/c1/encryption", {"key": "l"}, mount_point="giantnetes"
        )
    with pytest.raises(Forbidden):
        registry.secrets.kv.v2.read_secret_version(
            "secrets/c1/encryption", mount_point="giantnetes", raise_on_deleted_version=True
        )
    with pytest.raises(Forbidden):
        login(bao, "signer").sys.list_mounted_secrets_engines()
    with pytest.raises(Forbidden):
        login(bao, "mount-admin").sys.enable_secrets_engine("kv", path="elsewhere")


def test_data_and_logins_outlive_a_restart(bao: Stack) -> None:
    files = {task: bao.approle_file(task).read_bytes() for task in TASKS}
    login(bao, "registry").secrets.kv.v2.create_or_update_secret(
        "clusters/acme/c1", {"id": "a1"}, mount_point="giantnetes"
    )
    restart()
    assert {task: bao.approle_file(task).read_bytes() for task in TASKS} == files
    found = login(bao, "registry").secrets.kv.v2.read_secret_version(
        "clusters/acme/c1", mount_point="giantnetes", raise_on_deleted_version=True
    )
    assert found["data"]["data"] == {"id": "a1"}


def test_up_unseals_one_that_was_sealed(bao: Stack) -> None:
    restart()  # one that was initialised by its own process unseals itself again for a while
    client = hvac.Client(url=bao.vault_address, token="")
    client.token = openbao._root_token(bao, client)
    client.sys.seal()
    assert openbao.health(bao) == openbao.SEALED
    up(print, only=["openbao"])
    assert openbao.health(bao) == openbao.ACTIVE
    client.auth.token.revoke_self()


def test_files_are_private_and_no_secret_is_in_arguments_or_environments(bao: Stack) -> None:
    files = [path for path in openbao.folder(bao).rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    secrets = [json.loads(bao.approle_file(task).read_text())["secret_id"] for task in TASKS]
    secrets.append(json.loads((openbao.folder(bao) / "recovery.json").read_text())["recovery_key"])
    for process in supervisord.marked(bao):
        seen = " ".join([*process.cmdline(), *process.environ().values()])
        assert not [secret for secret in secrets if secret in seen]


def test_no_root_token_is_left_when_openbao_is_up(bao: Stack) -> None:
    client = hvac.Client(url=bao.vault_address, token="")
    client.token = openbao._root_token(bao, client)
    own = client.lookup_token()["data"]["accessor"]
    accessors = client.list("auth/token/accessors")["data"]["keys"]
    found = [client.auth.token.lookup_accessor(accessor)["data"] for accessor in accessors]
    assert [token["accessor"] for token in found if "root" in token["policies"]] == [own]
    client.auth.token.revoke_self()


def test_a_lost_login_is_made_anew_and_the_old_one_opens_nothing(bao: Stack) -> None:
    old = json.loads(bao.approle_file("signer").read_text())
    others = bao.approle_file("sealer").read_bytes()
    bao.approle_file("signer").unlink()
    up(print, only=["openbao"])
    assert login(bao, "signer").lookup_token()["data"]["policies"] == ["default", "signer"]
    assert bao.approle_file("sealer").read_bytes() == others
    with pytest.raises(InvalidRequest):
        hvac.Client(url=bao.vault_address, token="").auth.approle.login(**old)


def test_a_changed_policy_is_in_force_after_the_next_up(
    bao: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for task in TASKS:
        (tmp_path / f"{task}.hcl").write_text((openbao.POLICIES / f"{task}.hcl").read_text())
    (tmp_path / "signer.hcl").write_text('path "sys/mounts" {\n  capabilities = ["read"]\n}\n')
    with monkeypatch.context() as changed:
        changed.setattr(openbao, "POLICIES", tmp_path)
        up(print, only=["openbao"])
        assert "giantnetes/" in login(bao, "signer").sys.list_mounted_secrets_engines()["data"]
    up(print, only=["openbao"])
    with pytest.raises(Forbidden):
        login(bao, "signer").sys.list_mounted_secrets_engines()


def test_a_lost_recovery_key_is_named_when_it_is_needed(bao: Stack) -> None:
    recovery = openbao.folder(bao) / "recovery.json"
    kept = recovery.read_bytes()
    recovery.unlink()
    up(print, only=["openbao"])
    bao.approle_file("signer").unlink()
    with pytest.raises(StackError, match=r"recovery\.json is missing"):
        up(print, only=["openbao"])
    recovery.write_bytes(kept)
    up(print, only=["openbao"])


def test_a_first_start_that_was_cut_short_begins_again(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as cut:
        cut.setattr(openbao, "_recovery", lambda _stack: exec("raise KeyboardInterrupt"))  # noqa: S102
        with pytest.raises(KeyboardInterrupt):
            up(print, only=["openbao"])
    assert openbao.half_initialised(stack)
    up(print, only=["openbao"])
    assert not openbao.half_initialised(stack)
    assert login(stack, "registry").lookup_token()["data"]["policies"] == ["default", "registry"]


def test_data_without_its_seal_key_is_an_error_not_a_new_start(bao: Stack) -> None:
    down(print)
    key = openbao.folder(bao) / "seal.key"
    kept = key.rename(key.with_name("kept"))
    with pytest.raises(StackError, match=r"seal\.key is missing"):
        up(print, only=["openbao"])
    kept.rename(key)
    up(print, only=["openbao"])
    login(bao, "sealer")


def test_openbao_listens_on_loopback_only(bao: Stack) -> None:
    (process,) = (found for found in supervisord.marked(bao) if found.name() == "bao")
    listening = [each for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    assert {each.laddr.ip for each in listening} == {"127.0.0.1"}
