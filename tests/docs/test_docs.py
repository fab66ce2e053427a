"""The documentation holds what it says: links lead somewhere, commands and files exist, numbers are the code's.

That the generated pages are current is tested by tests/deploy/docs.
"""

import re
import shlex
import shutil
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
from supervisor.supervisorctl import DefaultControllerPlugin

from activities import probing
from activities.vault.registry import MAX_TRIES
from api import resource
from api.cluster import MAX_MACHINES, CertificatesSpec, ClusterSpec
from api.conditions import ConditionType, Reason
from api.errors import ErrorCode
from api.status import Phase
from contracts import activities
from deploy.binaries import cost
from deploy.stack import preflight
from planning.certificates import SPREAD
from planning.claims import LOOPBACK, QUARANTINE
from planning.create import plan_create
from planning.delete import plan_delete
from planning.files import read_model
from planning.quotas import Quota, Quotas
from tests.support.temporal import temporal_cli
from workers.cli.main import app
from workers.worker.interceptors import DEFAULT_TIMEOUT, HEARTBEATS
from workers.worker.serving import HANDOVER, QUICK, TASKS, WAITING
from workers.worker.settings import QUOTAS
from workflows import policies
from workflows.cluster import ClusterWorkflow
from workflows.hypervisor import HypervisorWorkflow

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "deploy" / "binaries" / "README.md", *DOCS.glob("*.md")]
)

FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^]\n]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
PROGRAMS = ("g8s", "just", "temporal", "supervisorctl")
PATH = re.compile(
    r"(?<![\w/.>-])(?:api|contracts|planning|nodes|workflows|activities|workers|deploy|tests|docs|\.ci)/[\w./<>*-]*"
)


def prose(page: Path) -> str:
    """Return a page without its code blocks."""
    return FENCE.sub("", page.read_text())


def code(page: Path) -> list[str]:
    """Return a page's code spans and the lines of its code blocks but ``text``, continued ones joined."""
    blocks = "\n".join(block for kind, block in FENCE.findall(page.read_text()) if kind != "text")
    blocks = blocks.replace("\\\n", " ")
    return [*blocks.splitlines(), *SPAN.findall(prose(page))]


def commands(page: Path) -> list[tuple[str, ...]]:
    """Return the commands of ``PROGRAMS`` that a page shows, as words, without a prompt and what stands before."""
    lines = [re.sub(r"<[\w ]+>", "X", line.strip()) for line in code(page)]
    parts = [part for line in lines for part in re.sub(r"^(uv run |[A-Z_]+=\S+ )+", "", line).split(" && ")]
    found = [shlex.split(part, comments=True) for part in parts if part.split(" ")[0] in PROGRAMS]
    return [tuple(word for word in words if word != "…") for words in found]


ALL_COMMANDS = sorted({command for page in PAGES for command in commands(page) if len(command) > 1})


def of(program: str) -> list[tuple[str, ...]]:
    """Return the commands of one program that any page shows."""
    return [command for command in ALL_COMMANDS if command[0] == program]


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in map(slug, HEADING.findall(target.read_text())), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_files_exist(page: Path) -> None:
    for path in {path.rstrip("./") for line in code(page) for path in PATH.findall(line)}:
        known = re.sub(r"<[\w ]+>", "*", path)
        assert any(ROOT.glob(known)) or (page.parent / path).exists(), path


def test_every_page_is_reached_from_the_readme() -> None:
    linked = {(ROOT / link).resolve() for link in LINK.findall(prose(ROOT / "README.md"))}
    assert set(PAGES) - {ROOT / "README.md"} <= linked


@pytest.mark.parametrize("command", of("g8s"), ids=" ".join)
def test_g8s_understands_its_commands(command: tuple[str, ...]) -> None:
    name, *words = [word.strip("[]") for word in command[1:]]
    group: Any = typer.main.get_command(app)
    assert name in {*group.commands, "--help"}
    if words:
        group.commands[name].make_context(name, words)


@pytest.mark.parametrize("command", of("just"), ids=" ".join)
def test_just_has_the_recipe(command: tuple[str, ...]) -> None:
    assert command[1].startswith("-") or command[1] in recipes()


def test_every_recipe_is_described() -> None:
    assert recipes() <= {recipe for _, recipe, *_ in of("just")}


@cache
def recipes() -> set[str]:
    """Return the public recipes of the justfile."""
    just = shutil.which("just")
    if just is None:
        pytest.skip("just is not installed: pip install rust-just")
    listed = subprocess.run([just, "--summary"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


@pytest.mark.parametrize("command", of("temporal"), ids=" ".join)
def test_temporal_has_command_and_flags(command: tuple[str, ...]) -> None:
    words = command[1:]
    flags = [word for word in words if word.startswith("-")]
    names = words[: words.index(flags[0])] if flags else words
    help_text = temporal_help(names)
    assert [flag for flag in flags if not re.search(rf"(^|[ ,]){flag}\b", help_text)] == []
    options = dict(pairwise(words))
    if names == ("workflow", "update", "execute"):
        kind = HypervisorWorkflow if options["--workflow-id"].startswith("hypervisor/") else ClusterWorkflow
        assert callable(getattr(kind, options["--name"]))


@cache
def temporal_help(names: tuple[str, ...]) -> str:
    """Return what the temporal CLI says about a command; it says something else about one that isn't there."""
    told = subprocess.run([temporal_cli(), *names, "--help"], capture_output=True, text=True, check=True).stdout
    assert f"temporal {' '.join(names)}" in told
    return told


@pytest.mark.parametrize("command", of("supervisorctl"), ids=" ".join)
def test_supervisorctl_has_the_action(command: tuple[str, ...]) -> None:
    assert command[1] == "--serverurl"
    assert hasattr(DefaultControllerPlugin, f"do_{command[3]}")


def test_the_steps_are_those_of_the_plans() -> None:
    architecture, operations = (DOCS / "architecture.md").read_text(), (DOCS / "operations.md").read_text()
    pools = [{"name": "pool", "replicas": 1}]
    spec = {"provider": "local", "owner": "acme", "release": "1.37.2-1", "node_pools": pools}
    create = plan_create(ClusterSpec.model_validate({**spec, "control_plane": {"replicas": 3}}))
    for step in [*create.steps, *plan_delete("local", undoing=False).steps]:
        assert f"`{step.name.replace('-pool', '-<pool>')}`" in architecture
        title = re.sub(r"(nodes|Certify and start|service account and encryption) .*", "", step.title)
        assert title.strip() in operations


def test_activities_codes_and_phases_are_named() -> None:
    architecture, operations = (DOCS / "architecture.md").read_text(), (DOCS / "operations.md").read_text()
    named = {value for name, value in vars(activities).items() if name.isupper()}
    assert {name for name in named if f"`{name}`" not in architecture} <= {activities.SIGN_USER_CERTIFICATE}
    assert {phase for phase in Phase if f"`{phase}`" not in operations} == set()
    words = set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", operations))
    assert words - set(ErrorCode) <= {"TemporalReportedProblems"}


def test_conditions_reasons_and_annotations_are_named() -> None:
    page = (DOCS / "resources.md").read_text()
    named = [*ConditionType, *Reason, resource.CONFIRM_DELETION, resource.ABANDON, resource.REQUESTED_BY]
    assert {word for word in named if f"`{word}`" not in page} == set()


def test_the_numbers_are_the_code_s() -> None:
    assert (MAX_MACHINES, len(LOOPBACK), MAX_TRIES, QUARANTINE.seconds) == (200, 16320, 100, 600)
    assert read_model(QUOTAS, Quotas).default == Quota(clusters=50, machines=1000, cores=4000)
    assert CertificatesSpec().leaf_ttl_hours == 168
    assert (policies.RENEWAL_TRIES, policies.ROTATE_AGAIN.seconds, policies.CLIENTS_PATIENCE.seconds) == (
        6,
        3600,
        660,
    )
    rotating = (activities.RENEW_KEYS, activities.FIND_CREDENTIALS, activities.VERIFY_SERVING)
    assert (SPREAD.seconds, {policies.start_to_close(name).seconds for name in rotating}) == (3600, {120})
    assert (
        (WAITING, QUICK, TASKS),
        DEFAULT_TIMEOUT.seconds / HEARTBEATS,
        policies.HEARTBEAT_TIMEOUT.seconds,
        HANDOVER.seconds,
    ) == ((32, 4, 4), 1, 5, 30)
    assert (policies.QUEUE_TIMEOUT.seconds, policies.LOST_REQUEST.seconds) == (120, 1)
    assert (policies.REPORT_INTERVAL.total_seconds(), probing.INTERVAL_SECONDS) == (1, 30)
    assert [policies.backoff(attempt).total_seconds() for attempt in (1, 2, 8, 20, 21)] == [0.5, 1, 60, 60, 300]
    seconds = [30, 240, 600, 300, 180, 180, 180]
    names = (activities.CLAIM, activities.INSTALL_MACHINE, activities.BOOT_MACHINE, activities.DELETE_MACHINES)
    waiting = (activities.AWAIT_API, activities.AWAIT_NODES, activities.VERIFY_CLUSTER)
    assert [policies.start_to_close(name).seconds for name in (*names, *waiting)] == seconds
    assert (preflight.MEMORY_GIB, preflight.STATE_DISK_GIB, cost.BUILD_MEMORY_GIB) == (2, 2, 4.5)
    assert cost.BUILD_CACHE_GIB + cost.MODULES_GIB + cost.BINARIES_GIB == 6
