"""Arguments and options that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """How results are written."""

    TEXT = "text"
    JSON = "json"


Name = Annotated[str, typer.Argument(help="The cluster's name.", show_default=False)]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The cluster's namespace.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="Lines for people, or JSON for programs.")]
