"""How a cluster may be named."""

import pytest

from workers.cli.errors import CliError
from workers.cli.options import named


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("demo", ("here", "demo")),
        ("there/demo", ("there", "demo")),
        ("cluster/demo", ("cluster", "demo")),
        ("cluster/there/demo", ("there", "demo")),
    ],
)
def test_a_name_alone_with_its_namespace_or_the_id_of_the_workflow(name: str, expected: tuple[str, str]) -> None:
    assert named(name, "here") == expected


@pytest.mark.parametrize("name", ["cluster/default/demo/create", "a/b/c"])
def test_what_names_no_cluster(name: str) -> None:
    with pytest.raises(CliError, match="names no cluster"):
        named(name, "default")
