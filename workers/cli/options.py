"""Arguments and options that several commands share."""

from enum import StrEnum
from typing import Annotated

import typer

from workers.cli.errors import CliError


class Format(StrEnum):
    """How results are written."""

    TEXT = "text"
    JSON = "json"


Name = Annotated[
    str, typer.Argument(help="The cluster: NAME, NAMESPACE/NAME or its workflow's id.", show_default=False)
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="The cluster's namespace.")]
Output = Annotated[Format, typer.Option("--output", "-o", help="Lines for people, or JSON for programs.")]


def named(name: str, namespace: str) -> tuple[str, str]:
    """Return namespace and name of a cluster, named alone, as NAMESPACE/NAME or by its workflow's id."""
    match name.split("/"):
        case [alone]:
            return namespace, alone
        case [found, alone] | ["cluster", found, alone]:
            return found, alone
    raise CliError(f"{name} names no cluster", "Write NAME, NAMESPACE/NAME or cluster/NAMESPACE/NAME.")
