"""Executables as their projects release them, checked by SHA-256."""

import hashlib
import shutil
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from deploy.binaries.cache import Bundle
from deploy.binaries.errors import BinariesError, UnreachableError
from deploy.binaries.part import OFFICIAL, Name, Part, architecture
from deploy.binaries.progress import Report, Ticker, duration

SITES: dict[Name, str] = {
    "kubernetes": "https://dl.k8s.io",
    "etcd": "https://github.com/etcd-io/etcd/releases/download",
}
"""Where the projects publish: https://kubernetes.io/releases/download/, https://github.com/etcd-io/etcd/releases."""

ANSWER_WITHIN_S = 4.0
"""Seconds that a site has for its first answer, name look-up and all."""

SPEED_OVER_S = 30.0
SLOWEST = 256 * 1024
"""Bytes a second that a site must give on average over ``SPEED_OVER_S``: else building is shorter."""

_TIMEOUTS_S = (2.0, 30.0)
_CHUNK = 1 << 20
_HEX_DIGITS = 64


def bundle(part: Part) -> Bundle:
    """Return the recipe that downloads the published commands of ``part``."""
    return Bundle(
        name=f"{part.name}-{part.version}-official",
        recipe=[SITES[part.name], part.version, dict(part.digests), architecture()],
        paths={command: command for command in OFFICIAL[part.name]},
        fill=lambda content, scratch, report: _download(part, content, scratch, report),
    )


def answers(part: Part) -> bool:
    """Return whether the part's site serves this version, decided within ``ANSWER_WITHIN_S`` seconds.

    In a thread, because no time limit holds for the look-up of a name where no DNS server answers.
    """
    found = threading.Event()

    def ask() -> None:
        try:
            with _get(_address(part, _digest_file(part, _files(part)[0]))):
                found.set()
        except UnreachableError:
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWER_WITHIN_S)
    return found.is_set()


def _files(part: Part) -> list[str]:
    """Return the files to download, by the end of their address."""
    arch = architecture()
    if part.name == "etcd":
        return [f"etcd-v{part.version}-linux-{arch}.tar.gz"]
    return [f"bin/linux/{arch}/{command}" for command in OFFICIAL[part.name]]


def _digest_file(part: Part, file: str) -> str:
    return "SHA256SUMS" if part.name == "etcd" else f"{file}.sha256"


def _address(part: Part, file: str) -> str:
    return f"{SITES[part.name]}/v{part.version}/{file}"


def _get(address: str) -> requests.Response:
    try:
        response = requests.get(address, stream=True, timeout=_TIMEOUTS_S)
        response.raise_for_status()
    except requests.RequestException as error:
        raise UnreachableError(f"{address} can't be had: {error}") from error
    return response


def _body(response: requests.Response, address: str) -> Iterator[bytes]:
    """Yield a body as it arrives; UnreachableError when it breaks off or comes too slowly."""
    began, received = time.monotonic(), 0
    try:
        # requests itself waits until a chunk is full, for ever where each byte comes in time.
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            yield chunk
            received += len(chunk)
            if (took_s := time.monotonic() - began) < SPEED_OVER_S:
                continue
            if received < SLOWEST * took_s:
                raise UnreachableError(f"{address} is slow: {received / took_s / 1024:.1f} KiB a second")
            began, received = time.monotonic(), 0
    except HTTPError as error:
        raise UnreachableError(f"{address} broke off: {error}") from error


def _download(part: Part, content: Path, scratch: Path, report: Report) -> str:
    ticker = Ticker(report, f"downloading {part}")
    report(f"downloading {part} from {SITES[part.name]}: usually less than a minute")
    digests = {}
    for file in _files(part):
        digests[file] = part.digests.get(file) or _published_digest(part, file)
        _fetch(_address(part, file), scratch / Path(file).name, digests[file], ticker)
    for command in OFFICIAL[part.name]:
        if part.name == "etcd":
            _unpack(scratch / _files(part)[0], command, scratch)
        (scratch / command).chmod(0o755)
        (scratch / command).rename(content / command)
    report(f"downloaded {part} in {duration(ticker.elapsed_s)}")
    return ", ".join(f"{_address(part, file)} sha256:{digest}" for file, digest in digests.items())


def _published_digest(part: Part, file: str) -> str:
    """Return the SHA-256 published beside a file: alone, or as a line of ``sha256sum``."""
    address = _address(part, _digest_file(part, file))
    with _get(address) as response:
        for line in b"".join(_body(response, address)).decode(errors="replace").splitlines():
            words = line.split()
            if words and len(words[0]) == _HEX_DIGITS and words[1:] in ([], [file]):
                return words[0]
    raise BinariesError(f"{address} tells no SHA-256 of {file}: pin one in the release, or try again later.")


def _fetch(address: str, target: Path, digest: str, ticker: Ticker) -> None:
    found = hashlib.sha256()
    with _get(address) as response, target.open("wb") as stream:
        for chunk in _body(response, address):
            found.update(chunk)
            stream.write(chunk)
            ticker.tick(f": {stream.tell() >> 20} MiB of {target.name}")
    if found.hexdigest() != digest:
        raise BinariesError(
            f"{address} has SHA-256 {found.hexdigest()}, but {digest} was expected: it was refused. Try "
            "again; if it stays so, something changes it on the way, or the pinned digest is wrong."
        )


def _unpack(archive: Path, command: str, folder: Path) -> None:
    """Take one command out of etcd's release archive, which holds a folder of its own name."""
    # Only the bytes are taken: extract() is safe by its filter alone, which Python has from 3.11.4 on.
    with tarfile.open(archive) as files, (folder / command).open("wb") as target:
        member = files.extractfile(f"{archive.name.removesuffix('.tar.gz')}/{command}")
        if member is None:
            raise BinariesError(f"{archive.name} holds no file {command}.")
        shutil.copyfileobj(member, target)
    (folder / command).chmod(0o755)
