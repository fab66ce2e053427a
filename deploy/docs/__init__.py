"""Pages of docs/ that are made from the project's own tables; ``just docs`` writes them anew.

The text of a page is a template beside this file, in which ``${name}`` stands for a table.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

from api.errors import ERRORS
from contracts.certificates import CERTIFICATES, Certificate, Usage
from contracts.machines import MachineRole
from deploy.docs.access import ACCESS, CONNECTIONS, ENDPOINTS, OTHERS

DOCS = Path(__file__).parents[2] / "docs"

_HOLDERS = {MachineRole.CONTROL_PLANE: "control plane machine", MachineRole.NODE: "node", None: "worker"}
_USAGES = {Usage.SERVER: "server", Usage.CLIENT: "client"}


def pages() -> dict[Path, str]:
    """Return each page's content by the file that it belongs in."""
    return {DOCS / "certificates.md": certificates_page(), DOCS / "errors.md": errors_page()}


def errors_page() -> str:
    """Return docs/errors.md."""
    head = ("code", "whose fault", "tried again by itself", "what to do")
    known = ERRORS.items()
    rows = ((_code(code), error.fault, "yes" if error.retryable else "no", error.hint) for code, error in known)
    return _template("errors").substitute(errors=_table(head, rows))


def certificates_page() -> str:
    """Return docs/certificates.md."""
    return _template("certificates").substitute(
        certificates=_table(
            (
                "name",
                "authority",
                "common name",
                "organisation",
                "usages",
                "DNS names",
                "addresses",
                "holder",
                "purpose",
            ),
            (_certificate(kind) for kind in CERTIFICATES.values()),
        ),
        connections=_table(
            ("client", "server", "client shows", "server shows"),
            ((item.client, item.server, _code(item.presents), _code(item.expects)) for item in CONNECTIONS),
        ),
        endpoints=_table(
            ("column", "port", "server shows", "what is asked"),
            ((name, str(item.port), _code(item.server), item.request) for name, item in ENDPOINTS.items()),
        ),
        access=_table(("certificate", *ENDPOINTS), ((_code(name), *row.values()) for name, row in ACCESS.items())),
        others=_table(("certificate", "what it is"), ((_code(name), text) for name, text in OTHERS.items())),
    )


def _certificate(kind: Certificate) -> tuple[str, ...]:
    return (
        _code(kind.name),
        kind.authority,
        _code(kind.common_name),
        _code(kind.organization),
        ", ".join(word for usage, word in _USAGES.items() if usage in kind.usage),
        " ".join(map(_code, kind.dns)),
        ", ".join(kind.addresses),
        _HOLDERS[kind.holder] + (", control plane machines that are nodes" if kind.of_nodes else ""),
        kind.purpose,
    )


def _template(page: str) -> Template:
    return Template(Path(__file__).with_name(f"{page}.md.in").read_text())


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table (GitHub Flavored Markdown, section 4.10)."""
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
