"""From layers to an image: put together with crane in a registry of its own, which lives on loopback meanwhile."""

import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.binaries import Part, build, cache
from deploy.binaries.errors import BinariesError
from deploy.binaries.part import PACKING_COMMANDS, architecture
from deploy.binaries.progress import Report
from deploy.image.base import HERE, PROJECT, USER, base_bundle
from deploy.image.layer import HOME, PYTHON, add_project, pack
from deploy.node_image.build import run
from deploy.node_image.packages import wanted

CRANE = Part(name="crane", version="0.22.1")

_ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - nobody's home, so that no file of the system's is taken for the user's
    "LANG": "C.UTF-8",
    "PYTHONPATH": f"/{HOME}",
    "PYTHONDONTWRITEBYTECODE": "1",
    # Debian's package of public CAs needs a shell to set it up; this is the same list.
    "SSL_CERT_FILE": f"/{HOME}/certifi/cacert.pem",
}
_SERVING = "serving on port "


def image(target: Path, report: Report) -> str:
    """Write the image of this project into the folder ``target`` (OCI: image layout), and return its digest.

    Raises BinariesError when it can't be made.
    """
    tools = cache.ensure(build.bundle(CRANE, PACKING_COMMANDS[CRANE.name]), report)
    base = cache.ensure(base_bundle(), report)["base"]
    with tempfile.TemporaryDirectory(prefix="image-") as folder, _registry(tools["crane"]) as registry:
        scratch = Path(folder)
        project = _project_layer(base, scratch)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        crane, name = str(tools["crane"]), f"{registry}/giantnetes:made"
        layers = [word for layer in (base, project) for word in ("--new_layer", str(layer))]
        run([crane, "append", "--oci-empty-base", *layers, "--new_tag", name], scratch)
        run([crane, "mutate", name, "--tag", name, *_configuration()], scratch)
        run([crane, "pull", "--format=oci", name, str(target)], scratch)
    return digest(target)


def digest(layout: Path) -> str:
    """Return the digest of the one image in a layout."""
    (manifest,) = json.loads((layout / "index.json").read_text())["manifests"]
    return str(manifest["digest"])


def push(layout: Path, reference: str, report: Report) -> None:
    """Copy an image into a registry, with the login that Docker's and Podman's clients have written down."""
    tools = cache.ensure(build.bundle(CRANE, PACKING_COMMANDS[CRANE.name]), report)
    run([str(tools["crane"]), "push", str(layout), reference], layout)


def _project_layer(base: Path, scratch: Path) -> Path:
    root, archive = scratch / "root", scratch / "project.tar.gz"
    root.mkdir()
    run(["tar", "--extract", "--file", str(base), "--directory", str(root)], scratch)
    pack(root, archive, wanted(HERE).epoch, scratch, add_project(PROJECT, root, scratch))
    return archive


def _configuration() -> list[str]:
    variables = [word for name, value in _ENVIRONMENT.items() for word in ("--env", f"{name}={value}")]
    place = ["--workdir", f"/{HOME}", "--user", f"{USER}:{USER}", "--set-platform", f"linux/{architecture()}"]
    return ["--entrypoint", f"/{PYTHON}", *place, *variables]


@contextlib.contextmanager
def _registry(crane: Path) -> Iterator[str]:
    """Serve a registry at a free port, and yield its ``host:port``; crane changes images in registries only."""
    command = [str(crane), "registry", "serve", "--address", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            told = process.stderr.readline() if process.stderr else ""
            if _SERVING not in told:
                raise BinariesError(f"crane could not serve a registry: {told.strip()}")
            yield f"127.0.0.1:{told.partition(_SERVING)[2].strip()}"
        finally:
            process.terminate()
