"""Files that are made from the project's own tables and models, and are committed all the same."""

import sys
from collections.abc import Mapping
from pathlib import Path


def write(files: Mapping[Path, str]) -> int:
    """Write each file, and say which; returns the exit status."""
    for path, content in files.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        sys.stdout.write(f"wrote {path}\n")
    return 0
