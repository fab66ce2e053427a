"""The CustomResourceDefinitions as files, beside this one; ``just crds`` writes them anew from ``api/``."""

from pathlib import Path

import yaml

from api.crds import KINDS

HERE = Path(__file__).parent


def files() -> dict[Path, str]:
    """Return each definition's content by the file that it belongs in."""
    return {
        HERE / f"{kind.crd_name}.yaml": yaml.safe_dump(kind.definition(), sort_keys=False, width=110)
        for kind in KINDS
    }
