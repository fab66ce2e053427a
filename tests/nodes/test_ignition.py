"""Virtual machines' configuration: valid in Ignition's own eyes, and units that say what was meant."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.binaries import Part, build, cache
from deploy.binaries.part import NODE_COMMANDS
from nodes.model import Need, Service
from nodes.render import render
from nodes.systemd import mount_name, need_name, need_unit, service_unit
from planning.releases import load_releases
from tests.nodes.frozen import CASES, SELF_BOOTING, ignition, layout_of, make_request

RELEASE = load_releases()["1.37.2-1"]
VIRTUAL = [case for case in CASES if case.startswith("virtual")]


@pytest.fixture(scope="session")
def validator() -> Path:
    """Ignition's own."""
    part = Part(name="ignition", version="2.24.0")
    return cache.ensure(build.bundle(part, NODE_COMMANDS["ignition"]), print)["ignition-validate"]


def configuration(case: str) -> dict[str, Any]:
    request = make_request(RELEASE.name, case)
    config = render(RELEASE, request, layout_of(case))
    return ignition(request, config, self_booting=case == SELF_BOOTING)


def units_of(document: dict[str, Any]) -> dict[str, str]:
    """Return the text of each unit by its name, which none has twice; that of a masked one is empty."""
    units = document["systemd"]["units"]
    found = {unit["name"]: unit.get("contents", "") for unit in units}
    assert len(found) == len(units)
    return found


def joined(unit: str) -> str:
    """Return a unit without continued lines."""
    return re.sub(r" \\\n +", " ", unit)


@pytest.mark.parametrize("case", VIRTUAL)
def test_ignition_takes_it(case: str, validator: Path, tmp_path: Path) -> None:
    file = tmp_path / "config.ign"
    file.write_text(json.dumps(configuration(case)))
    done = subprocess.run([validator, file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_validator_finds_mistakes(validator: Path, tmp_path: Path) -> None:
    document = configuration("virtual-node")
    document["systemd"]["units"][0]["name"] = "nonsense"
    file = tmp_path / "config.ign"
    file.write_text(json.dumps(document))
    done = subprocess.run([validator, file], capture_output=True, text=True, check=False)
    assert done.returncode, "it takes anything"


@pytest.mark.parametrize("case", VIRTUAL)
def test_only_what_is_to_outlive_a_boot_is_kept(case: str) -> None:
    wiped = {each["device"]: each["wipeFilesystem"] for each in configuration(case)["storage"]["filesystems"]}
    wanted = {"state": False, "scratch": True} | ({} if case == "virtual-node" else {"etcd": False})
    assert wiped == {f"/dev/disk/by-id/virtio-{serial}": wipe for serial, wipe in wanted.items()}


def test_words_of_a_command_reach_the_program_as_they_are() -> None:
    service = Service("x", ("/opt/bin/x", "--a=b c", "--p=100%", "--v=$HOME", '--q="\\'), {"K": "a $b %c"})
    unit = joined(service_unit(service))
    assert r'ExecStart="/opt/bin/x" "--a=b c" "--p=100%%" "--v=$$HOME" "--q=\"\\"' in unit
    assert 'Environment="K=a $b %%c"' in unit


def test_a_service_that_needs_something_waits_for_it() -> None:
    need = Need("https://10.0.0.1:6443/readyz", "/ca.crt")
    unit = joined(service_unit(Service("x", ("/opt/bin/x",), needs=need)))
    name = "await-10.0.0.1-6443-readyz.service"
    assert need_name(need) == name
    assert f"After={name}\nWants={name}\n" in unit
    words = '"/opt/bin/giantnetes-machine" "await-ready" "https://10.0.0.1:6443/readyz" "/ca.crt" "/usr/bin/true"'
    assert f"ExecStart={words}\n" in joined(need_unit(need))


@pytest.mark.parametrize("case", VIRTUAL)
def test_each_unit_that_is_waited_for_is_there_once(case: str) -> None:
    units = units_of(configuration(case))
    wanted = {name for text in units.values() for name in re.findall(r"^Wants=(\S+)$", text, re.MULTILINE)}
    assert wanted == {name for name in units if name.startswith("await-")} != set()


def test_mount_units_have_the_names_that_systemd_wants() -> None:
    assert mount_name("/opt") == "opt.mount"
    assert mount_name("/var/lib/etcd") == "var-lib-etcd.mount"


@pytest.mark.parametrize("case", VIRTUAL)
def test_mounts_are_named_after_their_paths(case: str) -> None:
    for name, text in units_of(configuration(case)).items():
        if where := re.search(r"^Where=(\S+)$", text, re.MULTILINE):
            assert name == mount_name(where[1])
