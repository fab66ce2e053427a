"""Making the definitions of our resources known to the host cluster."""

import asyncio
from typing import Final

import structlog

from api.crds import KINDS
from workers.bridge.kit.kube import APPLY, Kube
from workers.bridge.resources import MANAGER

PATH: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLL_S: Final = 0.2

log = structlog.get_logger(__name__)


async def register(kube: Kube) -> None:
    """Apply the definitions (Kubernetes: server-side apply), and wait until all are established."""
    for kind in KINDS:
        path = f"{PATH}/{kind.crd_name}"
        await kube.send("PATCH", f"{path}?fieldManager={MANAGER}&force=true", kind.definition(), APPLY)
        while not _is_established(await kube.get(path)):  # noqa: ASYNC110 - it takes a fraction of a second
            await asyncio.sleep(POLL_S)
    log.info("definitions registered", kinds=[kind.kind for kind in KINDS])


def _is_established(definition: dict[str, object]) -> bool:
    status = definition.get("status")
    conditions = (status.get("conditions") if isinstance(status, dict) else None) or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)
