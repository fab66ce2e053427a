"""How machines run: as is wanted, and never in a way that was not seen to work."""

from pathlib import Path

import pytest

from activities.libvirt import acceleration
from activities.libvirt.acceleration import chosen_kind


def kvm(monkeypatch: pytest.MonkeyPatch, *, works: bool) -> None:
    monkeypatch.setattr(acceleration, "runs_guests", lambda *_: works)


@pytest.mark.parametrize(
    ("wanted", "works", "found"),
    [("", True, "kvm"), ("", False, "qemu"), ("qemu", True, "qemu"), ("kvm", True, "kvm")],
)
def test_as_is_wanted_or_as_well_as_they_can(
    monkeypatch: pytest.MonkeyPatch, wanted: str, works: bool, found: str
) -> None:
    kvm(monkeypatch, works=works)
    assert chosen_kind(wanted, Path("kernel")) == found


@pytest.mark.parametrize(("wanted", "words"), [("kvm", "KVM runs no guests here"), ("xen", "choose kvm or qemu")])
def test_what_can_not_be_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str, words: str) -> None:
    kvm(monkeypatch, works=False)
    with pytest.raises(RuntimeError, match=words):
        chosen_kind(wanted, Path("kernel"))
