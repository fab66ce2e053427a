"""``python -m deploy.crds``: write the definitions."""

import sys

from deploy.crds import files
from deploy.generated import write

if __name__ == "__main__":
    sys.exit(write(files()))
