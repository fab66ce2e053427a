"""Reading what operators write."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from api.errors import ErrorCode
from contracts.converter import describe
from contracts.errors import StepError

Model = TypeVar("Model", bound=BaseModel)


def read_model(file: Path, model: type[Model]) -> Model:
    """Return what a YAML file holds. Raises ``StepError`` with ConfigurationBroken that names the file."""
    try:
        return model.model_validate(yaml.safe_load(file.read_text()))
    except ValidationError as error:
        why = "; ".join(describe(error))
    except OSError as error:
        why = error.strerror or type(error).__name__
    except yaml.MarkedYAMLError as error:
        why = f"it is no YAML, see line {error.problem_mark.line + 1}" if error.problem_mark else "it is no YAML"
    except (yaml.YAMLError, ValueError):
        why = "it is no YAML in UTF-8"
    raise StepError(ErrorCode.CONFIGURATION_BROKEN, f"{file} can't be used: {why}")
