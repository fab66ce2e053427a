"""``python -m deploy.docs``: write the generated pages."""

import sys

from deploy.docs import pages
from deploy.generated import write

if __name__ == "__main__":
    sys.exit(write(pages()))
