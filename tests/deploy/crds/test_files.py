"""The definitions in deploy/crds are those that the models give."""

from pathlib import Path

import pytest

from deploy.crds import files


@pytest.mark.parametrize(("path", "content"), files().items(), ids=lambda value: getattr(value, "name", ""))
def test_a_file_is_current(path: Path, content: str) -> None:
    assert path.read_text() == content, "write it anew with `just crds`"
