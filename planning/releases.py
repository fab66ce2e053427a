"""Reading release files. They are data that ships with the code, so reading them is no outside call."""

from functools import cache
from pathlib import Path

from api.errors import ErrorCode
from api.release import Release
from contracts.errors import StepError
from planning.files import read_model

RELEASES = Path(__file__).parent.parent / "deploy" / "releases"


@cache
def load_releases() -> dict[str, Release]:
    """Return all releases by name.

    Raises ``StepError`` with ConfigurationBroken for a file that can't be read or holds another release.
    """
    releases = {}
    for file in sorted(RELEASES.glob("*.yaml")):
        release = read_model(file, Release)
        if file.stem != release.name:
            raise StepError(ErrorCode.CONFIGURATION_BROKEN, f"{file} holds release {release.name}")
        releases[release.name] = release
    return releases
