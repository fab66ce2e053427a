"""``python -m deploy.docs``: write the generated pages."""

import sys

from deploy.docs import pages


def main() -> int:
    """Write all pages, and say which; returns the exit status."""
    for path, content in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
