import pytest

from api.release import Release
from planning.releases import load_releases
from tests.nodes.frozen import CASES, FOLDER, rendered

UPDATE = "if this is meant, and the release is not published yet, run `python -m tests.nodes.frozen`"


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("release", load_releases().values(), ids=lambda release: release.name)
def test_machines_of_a_release_are_what_they_were(release: Release, case: str) -> None:
    frozen = FOLDER / release.name / f"{case}.yaml"
    assert frozen.exists(), f"{frozen} is missing: {UPDATE}"
    assert rendered(release, case) == frozen.read_text(), f"{frozen} differs: {UPDATE}"


def test_no_golden_file_is_left_of_a_case_or_release_that_is_gone() -> None:
    known = {FOLDER / release / f"{case}.yaml" for release in load_releases() for case in CASES}
    assert set(FOLDER.rglob("*.yaml")) == known
