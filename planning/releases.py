"""Reading release files. They are data that ships with the code, so reading them is no outside call."""

from functools import cache
from pathlib import Path

import yaml

from api.release import Release

RELEASES = Path(__file__).parent.parent / "deploy" / "releases"


@cache
def load_releases() -> dict[str, Release]:
    """Return all releases by name.

    Raises ``ValueError`` when a file's name differs from the name in it.
    """
    releases = {}
    for file in sorted(RELEASES.glob("*.yaml")):
        release = Release.model_validate(yaml.safe_load(file.read_text()))
        if file.stem != release.name:
            raise ValueError(f"{file.name} holds release {release.name}")
        releases[release.name] = release
    return releases
