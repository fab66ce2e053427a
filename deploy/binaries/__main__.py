"""``python -m deploy.binaries kubernetes@1.37.2 etcd@3.7.3``: get parts and print where their commands are."""

from typing import Annotated

import typer
from pydantic import ValidationError

from deploy.binaries import BinariesError, Part, ensure
from deploy.binaries.progress import to_stderr

_INTERRUPTED = 130


def main(
    parts: Annotated[
        list[str], typer.Argument(help="Parts with their versions, as kubernetes@1.37.2 etcd@3.7.3.")
    ],
) -> None:
    """Get parts from the cache, from their projects' sites, or by building them; print command=path."""
    try:
        for part in [_parse(text) for text in parts]:
            for command, path in ensure([part]).items():
                typer.echo(f"{command}={path}")
    except BinariesError as error:
        to_stderr(str(error))
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        to_stderr("Interrupted: what was being made is gone, what was complete stays in the cache.")
        raise typer.Exit(_INTERRUPTED) from None


def _parse(text: str) -> Part:
    name, _at, version = text.partition("@")
    try:
        return Part.model_validate({"name": name, "version": version})
    except ValidationError as error:
        reasons = "; ".join(f"{reason['loc'][0]}: {reason['msg']}" for reason in error.errors())
        raise BinariesError(f"{text} is no part, write kubernetes@1.37.2 or etcd@3.7.3 ({reasons}).") from error


if __name__ == "__main__":
    typer.run(main)
