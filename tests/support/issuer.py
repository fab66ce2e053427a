"""A small real OpenID Connect issuer: the stack's OpenBao (https://openbao.org/docs/secrets/identity/identity-token/)."""

import secrets
from typing import Any

import hvac

CLIENT_ID = "kubernetes"
ROLES = {"kubernetes": (CLIENT_ID, "1h"), "another-audience": ("another", "1h"), "short": (CLIENT_ID, "5s")}
"""Kinds of tokens by name: whom they are for, and how long they live."""

_PEOPLE = "people"
_KEY = "people"
_POLICY = 'path "identity/oidc/token/*" { capabilities = ["read"] }'
_CLAIMS = '{"groups": {{identity.entity.groups.names}}}'


class Issuer:
    """Gives tokens to people. ``root`` may do everything in OpenBao, which is reached by TLS at ``origin``."""

    def __init__(self, root: hvac.Client, address: str, origin: str) -> None:
        """Have OpenBao issue tokens, and let people log in to it by name and password."""
        self.url = f"{origin}/v1/identity/oidc"
        self._root = root
        self._address = address
        self._people: dict[str, hvac.Client] = {}
        self._ids: dict[str, str] = {}
        identity = root.secrets.identity
        identity.configure_tokens_backend(issuer=origin)
        identity.create_named_key(_KEY, allowed_client_ids=["*"])
        for name, (client_id, ttl) in ROLES.items():
            identity.create_or_update_role(name, _KEY, _CLAIMS, client_id, ttl)
        root.sys.create_or_update_policy(_PEOPLE, _POLICY)
        root.sys.enable_auth_method("userpass", path=_PEOPLE)

    def close(self) -> None:
        """Let nobody log in any more."""
        self._root.sys.disable_auth_method(_PEOPLE)

    def enrol(self, person: str) -> None:
        """Make a person known, who is in no group yet."""
        password = secrets.token_urlsafe()
        userpass = self._root.auth.userpass
        userpass.create_or_update_user(person, password, policies=[_PEOPLE], mount_point=_PEOPLE)
        client = hvac.Client(url=self._address, token="", timeout=10)
        login: dict[str, Any] = client.auth.userpass.login(person, password, mount_point=_PEOPLE)
        self._people[person], self._ids[person] = client, login["auth"]["entity_id"]

    def group(self, name: str, *members: str) -> None:
        """Say who is in a group."""
        identity = self._root.secrets.identity
        identity.create_or_update_group_by_name(name, member_entity_ids=[self._ids[member] for member in members])

    def token(self, person: str, role: str = "kubernetes") -> str:
        """Return a new token of a person."""
        answer = self._people[person].secrets.identity.generate_signed_id_token(role)
        return str(answer["data"]["token"])
