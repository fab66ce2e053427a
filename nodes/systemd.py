"""Services as systemd units (systemd.service(5), systemd.exec(5), systemd.mount(5))."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from nodes.model import Need, Service

BOOT_UNIT = "giantnetes-boot.service"
"""Runs the machine program at each boot; it starts the services once they have what they need."""

_CONTINUED = " \\\n    "
"""Ignition takes no line of more than 2048 characters."""

MACHINE_PROGRAM = "/opt/bin/giantnetes-machine"


def unit_name(service: str) -> str:
    """Return the unit of a service."""
    return f"{service}.service"


def service_unit(service: Service) -> str:
    """Return the unit of a service. It is never given up on, and its output goes to the journal."""
    awaited = [need_name(service.needs)] if service.needs else []
    environment = (f"Environment={_quoted(f'{name}={value}')}" for name, value in service.environment.items())
    return _unit(
        "[Unit]",
        f"Description={service.name}",
        "StartLimitIntervalSec=0",
        *(f"After={name}" for name in (*map(unit_name, service.after), *awaited)),
        *(f"Wants={name}" for name in awaited),
        "[Service]",
        *(("Type=notify",) if service.notifies else ()),
        f"ExecStart={_command(*service.argv)}",
        *environment,
        "Restart=always",
        f"RestartSec={service.restart_seconds}",
        "LimitNOFILE=1048576",
        *((f"CPUWeight={service.weight}",) if service.weight != 100 else ()),
        *(("Delegate=yes", "KillMode=process", "OOMScoreAdjust=-999") if service.starts_containers else ()),
    )


def need_name(need: Need) -> str:
    """Return the name of the unit that waits for a need: services with the same one share it."""
    parts = urlsplit(need.url)
    return unit_name(f"await-{parts.netloc.replace(':', '-')}{parts.path.replace('/', '-')}")


def need_unit(need: Need) -> str:
    """Return the unit that ends when a need is there. It runs anew for each start of a service that wants it."""
    return _unit(
        "[Unit]",
        f"Description=wait for {need.url}",
        "StartLimitIntervalSec=0",
        "[Service]",
        "Type=oneshot",
        f"ExecStart={_command(MACHINE_PROGRAM, need.command, need.url, need.authority, '/usr/bin/true')}",
    )


def boot_unit(mounts: Iterable[str]) -> str:
    """Return the unit of the machine program, which wants ``mounts`` in place."""
    return _unit(
        "[Unit]",
        "Description=Giantnetes machine",
        f"RequiresMountsFor={' '.join(mounts)}",
        "[Service]",
        "Type=oneshot",
        "RemainAfterExit=yes",
        f"ExecStart={MACHINE_PROGRAM} boot",
        "[Install]",
        "WantedBy=multi-user.target",
    )


def agent_unit(program: str, mounts: Iterable[str]) -> str:
    """Return the unit of QEMU's guest agent, which comes from one of ``mounts``."""
    return _unit(
        "[Unit]",
        "Description=QEMU guest agent",
        f"RequiresMountsFor={' '.join(mounts)}",
        "StartLimitIntervalSec=0",
        "[Service]",
        f"ExecStart={_command(program, '--retry-path')}",
        "Restart=always",
        "RestartSec=1",
        "[Install]",
        "WantedBy=multi-user.target",
    )


def mount_unit(device: str, path: str, kind: str, options: str = "") -> str:
    """Return the unit that mounts a disk; its name must be ``mount_name(path)``."""
    return _unit(
        "[Unit]",
        "Before=local-fs.target",
        "[Mount]",
        f"What={device}",
        f"Where={path}",
        f"Type={kind}",
        *((f"Options={options}",) if options else ()),
        "[Install]",
        "RequiredBy=local-fs.target",
    )


def mount_name(path: str) -> str:
    """Return the name that systemd wants for the unit of a mount point of plain letters."""
    return f"{path.strip('/').replace('-', '_').replace('/', '-')}.mount"


def _unit(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def _command(*argv: str) -> str:
    return _CONTINUED.join(_quoted(argument, command=True) for argument in argv)


def _quoted(text: str, *, command: bool = False) -> str:
    """Return one word of a unit file; in commands, and nowhere else, a dollar sign begins a variable."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return '"' + (escaped.replace("$", "$$") if command else escaped) + '"'
