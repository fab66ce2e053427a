"""A stand-in for the ``go`` command, and a site on loopback that publishes as the projects do."""

import contextlib
import hashlib
import io
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.binaries import Part
from deploy.binaries.part import OFFICIAL, architecture

KUBERNETES = Part(name="kubernetes", version="1.37.2")
ETCD = Part(name="etcd", version="3.7.3")

GO = r"""#!{python}
import json, os, pathlib, subprocess, sys, time
if sys.argv[1:] == ["env", "GOVERSION"]:
    print("{version}")
    sys.exit()
here = pathlib.Path(__file__).parent
if sys.argv[1:] == ["env", "GOCACHE", "GOMODCACHE"]:
    sys.exit(print((here / "env").read_text()) if (here / "env").exists() else 1)
(here / "call.json").write_text(json.dumps(
    {{"arguments": sys.argv[1:], "environment": dict(os.environ), "files": sorted(
        str(path) for path in pathlib.Path().rglob("*") if path.is_file())}}))
if (here / "fail").exists():
    sys.exit((here / "fail").read_text())
if (here / "hang").exists():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (here / "pids.tmp").write_text(f"{{os.getpid()}} {{child.pid}}")
    (here / "pids.tmp").rename(here / "pids")
    time.sleep(600)
for package in sys.argv[sys.argv.index("-o") + 2:]:
    words = package.split("/")
    name = words[-2] if words[-1] == "v3" else words[-1]
    target = pathlib.Path("bin", name)
    target.write_text("#!/bin/sh\necho " + name)
    target.chmod(0o755)
"""


def stand_in_go(folder: Path, version: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder.mkdir()
    (folder / "go").write_text(GO.format(python=sys.executable, version=version))
    (folder / "go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


class Site:
    """A web site on loopback that serves ``files`` by path and notes what was asked for.

    It breaks off before the last byte of those in ``broken``, and takes for ever over those in ``trickling``.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.broken: set[str] = set()
        self.trickling: set[str] = set()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                body = site.files.get(self.path)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                if self.path in site.broken:
                    self.wfile.write((body or b"")[:-1])
                elif self.path in site.trickling:
                    site.trickle(self.wfile)
                else:
                    self.wfile.write(body or b"")

            def log_message(self, *_arguments: Any) -> None:
                """Say nothing."""

        self._closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def trickle(self, body: io.BufferedIOBase) -> None:
        """Write a byte now and then, until nobody listens any more."""
        with contextlib.suppress(OSError):
            while not self._closed.wait(0.02):
                body.write(b".")

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def publish_kubernetes(site: Site) -> dict[str, str]:
    """Publish the commands as dl.k8s.io does, and return their digests by official file name."""
    digests = {}
    for command in OFFICIAL["kubernetes"]:
        file, content = f"bin/linux/{architecture()}/{command}", command.encode() * 1000
        digests[file] = sha256(content)
        site.files[f"/v1.37.2/{file}"] = content
        site.files[f"/v1.37.2/{file}.sha256"] = digests[file].encode()
    return digests


def publish_etcd(site: Site) -> str:
    """Publish a release archive as etcd does, and return its name."""
    folder = f"etcd-v3.7.3-linux-{architecture()}"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("README.md", "etcd", "etcdctl", "etcdutl"):
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size, member.mode = len(name), 0o755
            archive.addfile(member, io.BytesIO(name.encode()))
    archive_name = f"{folder}.tar.gz"
    site.files[f"/v3.7.3/{archive_name}"] = packed.getvalue()
    sums = f"{'0' * 64}  etcd-v3.7.3-linux-s390x.tar.gz\n{sha256(packed.getvalue())}  {archive_name}\n"
    site.files["/v3.7.3/SHA256SUMS"] = sums.encode()
    return archive_name
