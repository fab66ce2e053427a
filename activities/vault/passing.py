"""Signing at a role that is there for one request."""

from collections.abc import Mapping

from activities.vault.client import Signed, VaultClient
from activities.vault.roles import Role


class PassingRoles:
    """Signs each request at a role of its own: with one that stayed, ``signer`` alone could sign again."""

    def __init__(self, admin: VaultClient, signer: VaultClient) -> None:
        """Use the logins of ``mount-admin``, which makes and removes the role, and of ``signer``."""
        self._admin = admin
        self._signer = signer

    def sign(
        self,
        mount: str,
        named: tuple[str, Role],
        request: str,
        common_name: str,
        alternatives: Mapping[str, object] | None = None,
    ) -> Signed:
        """Sign a PKCS #10 request (PEM) for ``common_name``, with the SANs that ``alternatives`` asks Vault for.

        ``named`` is the role with its name.

        Raises ``StepError``.
        """
        name, role = named
        try:
            self._admin.write_role(mount, name, role)
            params = {"exclude_cn_from_sans": True, **(alternatives or {})}
            return self._signer.sign(mount, name, request, common_name, params)
        finally:
            self._admin.delete_role(mount, name)
