"""No page promises that an access can be revoked: nothing of a cluster can."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])

SPEAK_OF_IT = {"There is no revocation", "What ends an access"}
"""Sections that say that there is none, and what there is instead."""

OF_VAULT = {"A root token for OpenBao"}
"""Tokens of Vault are no access to a cluster, and can be revoked."""

WORD = re.compile(r"\brevo(?:k|c)\w*", re.IGNORECASE)
DENIED = re.compile(r"\b(?:nothing|none|never|no) (?:is |are )?(?:ever )?revo(?:k|c)\w*", re.IGNORECASE)


def sections(page: Path) -> list[tuple[str, str]]:
    """Return headings with the text below each, up to the next one of any level."""
    found = re.split(
        r"^#+ (.+)$",
        re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL),
        flags=re.MULTILINE,
    )
    return list(zip(["", *found[1::2]], found[::2], strict=True))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_elsewhere_it_is_only_said_that_there_is_none(page: Path) -> None:
    for heading, text in sections(page):
        if heading not in SPEAK_OF_IT | OF_VAULT:
            assert WORD.findall(DENIED.sub("", text)) == [], heading
            assert not WORD.search(heading), heading


def test_the_sections_are_there() -> None:
    told = {heading: text for page in PAGES for heading, text in sections(page)}
    assert "changes nothing at the API" in " ".join(told["There is no revocation"].split())
    assert "Nothing is ever revoked" in told["What ends an access"]
