"""The search for secrets must be able to find one."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.leaks import Secret, search, secrets_in_pem

SECRET = Secret("canary", 'pass"word-with-a-quote-0123456789')


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz"])
@pytest.mark.parametrize("after", ["", "tail"])
def test_finds_every_form(before: str, after: str) -> None:
    raw = before + SECRET.text + after
    forms = [raw, json.dumps(raw), base64.b64encode(raw.encode()).decode()]
    forms.append(base64.b64encode(json.dumps({"key": raw}).encode()).decode())
    for form in forms:
        assert search([SECRET], "here", form.encode()) == ["canary in here"], form


def test_finds_a_private_key_in_another_wrapping() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    [secret] = secrets_in_pem("key", pem)
    in_payload = base64.b64encode(json.dumps({"files": {"a.key": pem.replace("\n", "")}}).encode())
    assert search([secret], "payload", in_payload) == ["key in payload"]
    assert search([secret], "log", json.dumps({"event": pem}).encode()) == ["key in log"]
    assert search([secret], "der", key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())) == []


def test_says_nothing_of_what_is_clean() -> None:
    assert search([SECRET], "here", b"nothing to see") == []
