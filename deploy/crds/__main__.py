"""``python -m deploy.crds``: write the definitions."""

import sys

from deploy.crds import files


def main() -> int:
    """Write all files, and say which; returns the exit status."""
    for path, content in files().items():
        path.write_text(content)
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
