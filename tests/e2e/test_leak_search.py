"""The search for secrets must be able to find one."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.leaks import Needles, files
from tests.support.secrets import Kind, Secret, in_pem

SECRET = Secret(Kind.LOGIN, "canary", (b'pass"word-with-a-quote-0123456789',))
BINARY = Secret(Kind.SEAL_KEY, "seal.key", (bytes(range(230, 255)) + b"\xfb\xef\xbe\0\0\0",))
FORMATS = (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)


def search(secret: Secret, data: bytes) -> list[str]:
    return Needles([secret, Secret(Kind.LOGIN, "another", (b"x" * 40,))]).search("here", data)


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz", "x" * 15])
@pytest.mark.parametrize("after", ["", "tail"])
def test_finds_every_form(before: str, after: str) -> None:
    raw = before + SECRET.values[0].decode() + after
    forms = [raw, json.dumps(raw), base64.b64encode(raw.encode()).decode(), raw.encode().hex()]
    forms.append(base64.b64encode(json.dumps({"key": raw}).encode()).decode())
    for form in forms:
        assert search(SECRET, form.encode()) == [f"{SECRET} in here"], form


@pytest.mark.parametrize("before", range(9))
def test_finds_bytes_that_are_no_text(before: int) -> None:
    raw = b"x" * before + BINARY.values[0]
    for form in (raw, base64.b64encode(raw), base64.urlsafe_b64encode(raw), raw.hex().upper().encode()):
        assert search(BINARY, form) == [f"{BINARY} in here"], form


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)])
@pytest.mark.parametrize("wrapping", FORMATS)
def test_finds_a_private_key_in_another_wrapping(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, wrapping: PrivateFormat
) -> None:
    pem = key.private_bytes(Encoding.PEM, wrapping, NoEncryption()).decode()
    [secret] = in_pem(Kind.MACHINE_KEY, "a", pem)
    other = FORMATS[1 - FORMATS.index(wrapping)]
    der = key.private_bytes(Encoding.DER, other, NoEncryption())
    for form in (
        base64.b64encode(json.dumps({"files": {"a.key": pem.replace("\n", "")}}).encode()),
        json.dumps({"event": pem}).encode(),
        base64.b64encode(pem.encode()),
        der,
        base64.b64encode(der),
    ):
        assert search(secret, form) == [f"{secret} in here"], form


def test_says_nothing_of_what_is_clean() -> None:
    assert search(SECRET, b"nothing to see, and no tokens such as s.short or eyJhbGciOiJub25lIn0") == []


def test_what_is_too_short_to_be_found_is_no_secret() -> None:
    with pytest.raises(AssertionError, match="too short"):
        Needles([Secret(Kind.LOGIN, "pin", (b"1234",))])


def test_a_file_is_for_others_only_if_its_folders_are(tmp_path: Path) -> None:
    for mode in (0o700, 0o755):
        folder = tmp_path / f"{mode:o}"
        folder.mkdir()
        (folder / "file").write_text("x")
        (folder / "file").chmod(0o644)
        folder.chmod(mode)
    assert [place for place, _ in files(tmp_path)] == ["file 755/file"]
