"""Keys and certificates of clusters' clients, in Secrets of the host cluster.

A new key waits in a Secret of its own until its certificate comes, so that what clients read is a whole pair at
any time. Every Secret names the ``Certificate`` as its owner, and none that doesn't is ever touched.
"""

from base64 import b64decode, b64encode
from http import HTTPStatus

from cryptography import x509
from temporalio import activity

from activities.keys import fits, new_key, signing_request
from activities.kubernetes.client import Json, KubernetesClient
from activities.kubernetes.connection import HostApi
from activities.vault.clock import Clock, utc_now
from api.cluster import API_VERSION
from api.errors import ErrorCode
from contracts import activities as names
from contracts.errors import StepError
from contracts.issuing import HeldCertificate, KeyAnswer, KeyRequest, StoreAnswer, StoreRequest
from contracts.reporting import ResourceReference
from planning.issuing import due, wanted

TYPE = "kubernetes.io/tls"
CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"
WANTED, REASON = "giantnetes.io/spec-hash", "giantnetes.io/reason"
"""Annotations of a Secret: what its certificate was made for, and why."""


class CertificateSecrets:
    """Steps on the Secrets of ``Certificate`` resources: idempotent. All raise ``StepError`` only."""

    def __init__(self, host: HostApi, now: Clock = utc_now) -> None:
        """Use the host cluster; ``now`` is the clock by which certificates are due."""
        self._host = host
        self._now = now

    @activity.defn(name=names.PREPARE_KEY)
    def prepare(self, request: KeyRequest) -> KeyAnswer:
        """Compare the Secret with the spec; when a certificate is due, make a key for it, or find it made.

        Raises ``StepError``: NameConflict for a Secret that is somebody else's, InvalidSpec for none such.
        """
        client, resource = self._host.client(), request.resource
        self._check_owner(client, request)
        held = _held(_own(client, resource, resource.name))
        reason = due(request.spec, held, request.authority, self._now())
        if not reason:
            return KeyAnswer(held=held)
        key = _waiting_key(client, resource)
        self._check_owner(client, request)
        renewing = held is not None and held.wanted == wanted(request.spec)
        return KeyAnswer(held=held, reason=reason, request=signing_request(key), renewing=renewing)

    @activity.defn(name=names.STORE_CERTIFICATE)
    def store(self, request: StoreRequest) -> StoreAnswer:
        """Put a certificate with its key into the Secret, and remove the one in which the key waited.

        Raises ``StepError`` as ``prepare`` does.
        """
        client, resource = self._host.client(), request.resource
        self._check_owner(client, request)
        serial = _serial(x509.load_pem_x509_certificate(request.certificate.encode()))
        before = _own(client, resource, resource.name)
        held = _held(before)
        if held is None or held.serial != serial:
            key = _data(_own(client, resource, _waiting(resource))).get(KEY, "")
            if not fits(request.certificate, key):
                return StoreAnswer()
            held = _held(_write(client, resource, _secret(request, key), before))
            self._check_owner(client, request)
        _remove(client, resource, _waiting(resource))
        return StoreAnswer(held=held)

    @activity.defn(name=names.REMOVE_CERTIFICATE)
    def remove(self, resource: ResourceReference) -> None:
        """Remove the Secrets of a ``Certificate`` that is being deleted."""
        client = self._host.client()
        for name in (resource.name, _waiting(resource)):
            _remove(client, resource, name)

    def _check_owner(self, client: KubernetesClient, request: KeyRequest | StoreRequest) -> None:
        """Raise ``StepError`` unless the resource is there as it was asked for, and is to stay.

        What was written for one that is gone is removed: its deletion may have looked for that before.
        """
        resource = request.resource
        path = f"/apis/{API_VERSION}/namespaces/{resource.namespace}/certificates/{resource.name}"
        metadata = (client.find(path) or {"metadata": {}})["metadata"]
        where = f"the certificate {resource.namespace}/{resource.name}"
        if metadata.get("uid") != resource.uid or metadata.get("deletionTimestamp"):
            self.remove(resource)
            raise StepError(ErrorCode.INVALID_SPEC, f"{where} is gone: nothing is issued for it")
        if metadata["generation"] != request.generation:
            raise StepError(ErrorCode.INVALID_SPEC, f"{where} is another by now: that is issued")


def _write(client: KubernetesClient, resource: ResourceReference, secret: Json, before: Json | None) -> Json:
    """Make a Secret, or change the one that was read; StepError when another is there by now."""
    if before is None:
        return client.create(_collection(resource), secret)
    known = {key: before["metadata"][key] for key in ("uid", "resourceVersion")}
    return client.apply(_path(resource, resource.name), {**secret, "metadata": {**secret["metadata"], **known}})


def _own(client: KubernetesClient, resource: ResourceReference, name: str) -> Json | None:
    """Return a Secret of the resource, None when there is none; StepError NameConflict for somebody else's."""
    secret = client.find(_path(resource, name))
    if secret and resource.uid not in {owner["uid"] for owner in secret["metadata"].get("ownerReferences", [])}:
        message = f"there is a Secret {resource.namespace}/{name} already that isn't of this certificate"
        raise StepError(ErrorCode.NAME_CONFLICT, message)
    return secret


def _remove(client: KubernetesClient, resource: ResourceReference, name: str) -> None:
    secret = client.find(_path(resource, name))
    owners = (secret or {"metadata": {}})["metadata"].get("ownerReferences", [])
    if secret and resource.uid in {owner["uid"] for owner in owners}:
        body = {"preconditions": {"uid": secret["metadata"]["uid"]}}
        answer = client.ask("DELETE", _path(resource, name), body)
        if answer.status not in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}:
            raise StepError(ErrorCode.HOST_API_UNAVAILABLE, f"the Secret {name} can't be removed: {answer.status}")


def _waiting_key(client: KubernetesClient, resource: ResourceReference) -> str:
    """Return the key (PEM) that waits for a certificate, made when there is none."""
    name = _waiting(resource)
    found = _data(_own(client, resource, name)).get(KEY)
    if found:
        return found
    key = new_key()
    body = {**_head(resource, name), "type": "Opaque", "data": {KEY: _encoded(key)}}
    client.create(_collection(resource), body)
    return key


def _waiting(resource: ResourceReference) -> str:
    """Return the name of the Secret in which a key waits; no two resources have the same."""
    return f"{resource.name[:200]}-next-{resource.uid[:8]}"


def _collection(resource: ResourceReference) -> str:
    return f"/api/v1/namespaces/{resource.namespace}/secrets"


def _path(resource: ResourceReference, secret: str) -> str:
    return f"{_collection(resource)}/{secret}"


def _head(resource: ResourceReference, name: str) -> Json:
    owner = {
        "apiVersion": API_VERSION,
        "kind": "Certificate",
        "name": resource.name,
        "uid": resource.uid,
        "controller": True,
    }
    labels = {"app.kubernetes.io/managed-by": "giantnetes"}
    metadata = {"name": name, "namespace": resource.namespace, "labels": labels, "ownerReferences": [owner]}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}


def _secret(request: StoreRequest, key: str) -> Json:
    secret, spec = _head(request.resource, request.resource.name), request.spec
    labels = {"giantnetes.io/cluster": spec.cluster_name, "giantnetes.io/component": spec.component}
    secret["metadata"]["labels"] |= labels
    secret["metadata"]["annotations"] = {WANTED: wanted(spec), REASON: request.reason}
    parts = {CERTIFICATE: request.certificate, KEY: key, AUTHORITY: request.authority}
    return {**secret, "type": TYPE, "data": {name: _encoded(part) for name, part in parts.items()}}


def _held(secret: Json | None) -> HeldCertificate | None:
    """Return what a Secret holds, None when that is no certificate with its key."""
    data = _data(secret)
    if secret is None or not fits(data.get(CERTIFICATE, ""), data.get(KEY, "")):
        return None
    certificate = x509.load_pem_x509_certificate(data[CERTIFICATE].encode())
    annotations = secret["metadata"].get("annotations") or {}
    return HeldCertificate(
        serial=_serial(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        authority=data.get(AUTHORITY, ""),
        wanted=annotations.get(WANTED, ""),
        reason=annotations.get(REASON, ""),
    )


def _data(secret: Json | None) -> dict[str, str]:
    """Return what is in a Secret, as text; people may have put in what is none."""
    data = (secret or {}).get("data") or {}
    return {name: b64decode(value).decode(errors="replace") for name, value in data.items()}


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _serial(certificate: x509.Certificate) -> str:
    """Return a serial number in hexadecimal with colons, as Vault writes it."""
    number = certificate.serial_number
    return number.to_bytes((number.bit_length() + 7) // 8 or 1).hex(":")
