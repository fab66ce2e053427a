"""OpenBao in the local stack: initialised once, configured as the files in ``policies/`` say, its root token gone.

What is kept under ``<state>/openbao`` (all of mode 0600): ``seal.key``, with which OpenBao unseals itself;
``recovery.json``, with which a root token can be made for the moments that a change of configuration takes;
``approles/<task>.json``, each task's login; and ``configured``, a digest of the configuration that is in force.

While ``initialising`` exists nothing has been handed out yet: a start that finds it throws the half-made storage
away and begins again, so a crash at any point of the first start mends itself.
"""

import base64
import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hvac
import requests
from hvac.exceptions import Forbidden, InvalidRequest, VaultError

from deploy.stack.errors import StackError
from deploy.stack.files import private_folder, write_private
from deploy.stack.model import LOOPBACK, Stack
from deploy.stack.waiting import until

KV_MOUNT = "giantnetes"
TASKS = ("mount-admin", "signer", "sealer", "registry", "planner", "prober")
POLICIES = Path(__file__).parent / "policies"
TIMEOUT_S = 30
HEALTH_S = 3
"""A question whose answer costs nothing, asked by a status that people wait for."""
ACTIVATION_S = 30
ACTIVE, UNINITIALISED, SEALED = 200, 501, 503

APPROLE = {
    "token_ttl": "1h",
    "token_max_ttl": "24h",
    "secret_id_bound_cidrs": [f"{LOOPBACK}/32"],
    "token_bound_cidrs": [f"{LOOPBACK}/32"],
}
"""Logins work from this machine only; a worker logs in again after a day at the latest."""


def folder(stack: Stack) -> Path:
    """Return the folder of OpenBao's storage, keys and logins."""
    return stack.state / "openbao"


def half_initialised(stack: Stack) -> bool:
    """Return whether a first start ended before its time, so that the storage is to be made again."""
    return _initialising(stack).exists()


def prepare(stack: Stack) -> None:
    """Write what OpenBao needs to start; it must not be running.

    StackError when there is data but no key to unseal it.
    """
    data, key = folder(stack) / "data", folder(stack) / "seal.key"
    if half_initialised(stack):
        shutil.rmtree(data, ignore_errors=True)
    if not key.exists():
        if data.exists() and any(data.iterdir()):
            raise StackError(
                f"OpenBao's data can't be unsealed: {key} is missing.",
                "Put the file back from a backup, or give up all clusters and start afresh with "
                "`python -m deploy.stack reset`.",
            )
        write_private(key, secrets.token_bytes(32))
    private_folder(data)
    write_private(folder(stack) / "openbao.hcl", config(stack))


def config(stack: Stack) -> str:
    """Return OpenBao's configuration file (https://openbao.org/docs/configuration/).

    Plain HTTP, on loopback only: to read along or to pose as OpenBao takes root on this machine, who can read the
    keys anyway. A root token can be made by whoever has the recovery key without having a token already.
    """
    return f"""\
storage "raft" {{
  path = "{folder(stack)}/data"
  node_id = "local"
  # Election timeouts of 1 s instead of 5: there is no other member to wait for.
  performance_multiplier = 1
}}
seal "static" {{
  current_key_id = "local-1"
  current_key = "file://{folder(stack)}/seal.key"
}}
listener "tcp" {{
  address = "{LOOPBACK}:{stack.ports.openbao}"
  cluster_address = "{LOOPBACK}:{stack.ports.openbao_cluster}"
  tls_disable = true
  disable_unauthed_generate_root_endpoints = false
}}
api_addr = "{stack.vault_address}"
cluster_addr = "https://{LOOPBACK}:{stack.ports.openbao_cluster}"
ui = false
log_level = "warn"
"""


def health(stack: Stack) -> int:
    """Return the status of OpenBao's health endpoint: 200 active, 429 standby, 501 not initialised, 503 sealed.

    0 when nothing answers (https://openbao.org/api-docs/system/health/).
    """
    with _session() as session:
        try:
            return session.get(f"{stack.vault_address}/v1/sys/health", timeout=HEALTH_S).status_code
        except requests.RequestException:
            return 0


def settle(stack: Stack) -> None:
    """Bring a running OpenBao to where tasks can log in: initialised, with policies and logins in force.

    StackError says what is missing or what OpenBao refused.
    """
    if health(stack) == UNINITIALISED:
        _initialise(stack)
    else:
        _mend(stack)


def _initialise(stack: Stack) -> None:
    write_private(_initialising(stack), "")
    with _client(stack) as client:
        made = client.sys.initialize(
            secret_shares=None, secret_threshold=None, recovery_shares=1, recovery_threshold=1
        )
        write_private(_recovery(stack), json.dumps({"recovery_key": made["recovery_keys"][0]}))
        until(lambda: health(stack) == ACTIVE, ACTIVATION_S)
        client.token = made["root_token"]
        _configure(stack, client)
    _initialising(stack).unlink()


def _mend(stack: Stack) -> None:
    """Renew policies that differ from the files, and logins that do not work."""
    up_to_date = _configured(stack).is_file() and _configured(stack).read_text() == _digest()
    if up_to_date and all(_login_works(stack, task) for task in TASKS):
        return
    with _client(stack) as client:
        client.token = _root_token(stack, client)
        _configure(stack, client)


def _configure(stack: Stack, client: Any) -> None:
    """Make mount, policies and AppRoles with a root token, which is revoked at the end, whatever happens."""
    try:
        if f"{KV_MOUNT}/" not in client.sys.list_mounted_secrets_engines()["data"]:
            client.sys.enable_secrets_engine("kv", path=KV_MOUNT, options={"version": "2"})
        if "approle/" not in client.sys.list_auth_methods()["data"]:
            client.sys.enable_auth_method("approle")
        for task in TASKS:
            client.sys.create_or_update_policy(task, (POLICIES / f"{task}.hcl").read_text())
            _ensure_login(stack, client, task)
        write_private(_configured(stack), _digest())
    finally:
        client.auth.token.revoke_self()


def _ensure_login(stack: Stack, client: Any, task: str) -> None:
    """Make the task's AppRole and its file; one whose file is lost is made anew: the lost one opens nothing."""
    works = _login_works(stack, task)
    if not works:
        client.auth.approle.delete_role(task)
    client.auth.approle.create_or_update_approle(task, token_policies=[task], **APPROLE)
    if not works:
        login = {
            "role_id": client.auth.approle.read_role_id(task)["data"]["role_id"],
            "secret_id": client.auth.approle.generate_secret_id(task)["data"]["secret_id"],
        }
        write_private(stack.approle_file(task), json.dumps(login))


def _login_works(stack: Stack, task: str) -> bool:
    try:
        login = json.loads(stack.approle_file(task).read_text())
        role_id, secret_id = login["role_id"], login["secret_id"]
    except (OSError, ValueError, KeyError):
        return False
    with _client(stack) as client:
        try:
            client.auth.approle.login(role_id=role_id, secret_id=secret_id)
        except (InvalidRequest, Forbidden):
            return False
        client.auth.token.revoke_self()
    return True


def _root_token(stack: Stack, client: Any) -> str:
    """Return a new root token, made with the recovery key (https://openbao.org/api-docs/system/generate-root/)."""
    try:
        key = json.loads(_recovery(stack).read_text())["recovery_key"]
    except (OSError, ValueError, KeyError) as error:
        raise StackError(
            f"OpenBao's policies or logins must be renewed, but {_recovery(stack)} is missing or damaged.",
            "Put the file back from a backup, or give up all clusters and start afresh with "
            "`python -m deploy.stack reset`.",
        ) from error
    client.sys.cancel_root_generation()
    attempt = client.sys.start_root_token_generation()
    answer = client.sys.generate_root(key=key, nonce=attempt["nonce"])
    encoded = base64.b64decode(answer["encoded_root_token"] + "==")
    return bytes(a ^ b for a, b in zip(encoded, attempt["otp"].encode(), strict=True)).decode()


@contextmanager
def _client(stack: Stack) -> Iterator[Any]:
    """Yield an hvac client without a token; a refusal of OpenBao within becomes a StackError."""
    with _session() as session:
        try:
            # An empty token, lest hvac take one from the environment or from ~/.vault-token.
            yield hvac.Client(url=stack.vault_address, token="", session=session, timeout=TIMEOUT_S)
        except (VaultError, requests.RequestException) as error:
            raise StackError(
                f"OpenBao could not be set up: {error}.",
                f"See {stack.logs}/openbao.log, then run `just up` again.",
            ) from error


def _session() -> requests.Session:
    """Return a session that ignores the environment's proxies: OpenBao is on loopback."""
    session = requests.Session()
    session.trust_env = False
    return session


def _digest() -> str:
    """Return the digest of all that ``_configure`` puts into OpenBao."""
    parts = [KV_MOUNT, json.dumps(APPROLE), *TASKS]
    parts += [(POLICIES / f"{task}.hcl").read_text() for task in TASKS]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _recovery(stack: Stack) -> Path:
    return folder(stack) / "recovery.json"


def _configured(stack: Stack) -> Path:
    return folder(stack) / "configured"


def _initialising(stack: Stack) -> Path:
    return folder(stack) / "initialising"
