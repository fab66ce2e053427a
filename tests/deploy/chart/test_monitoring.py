"""Alerts and dashboard ask for metrics that there are, in words that Prometheus understands."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest
import requests
import yaml

from deploy.stack import Stack
from tests.deploy.chart.rendering import CHART, EVERYTHING, NEEDED, Json, of_kind, rendered
from tests.e2e.people import EXAMPLES, kubectl, temporal
from tests.support.resourced import Resourced
from tests.support.stack import running_stack

RULES: list[Json] = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARD: Json = json.loads((CHART / "files" / "dashboard.json").read_text())
EXPRESSIONS = [
    *(rule["expr"] for rule in RULES),
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
]
METRIC = re.compile(r"\b(?:giantnetes|temporal)_\w+")
DEPLOYMENT = Path(__file__).parents[3] / "docs" / "deployment.md"
CERTIFICATES = DEPLOYMENT.with_name("certificates.md")
SECONDS = 60


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_prometheus_understands_each_expression(expression: str) -> None:
    assert promql_parser.parse(expression)


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_each_alert_says_how_bad_it_is_and_what_it_is_about(rule: Json) -> None:
    assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert f"| `{rule['alert']}` | {rule['for']} |" in DEPLOYMENT.read_text()
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert all(label in rule["expr"] for label in named)


def test_ends_of_certificates_are_told_of_when_the_pages_say() -> None:
    expressions = {rule["alert"]: " ".join(rule["expr"].split()) for rule in RULES}
    left = (
        "min by (cluster_namespace, cluster_name) "
        "(giantnetes_bridge_cluster_certificates_expire_timestamp_seconds) - time()"
    )
    assert expressions["GiantnetesCertificatesEndSoon"] == f"{left} < 5 * 86400"
    assert expressions["GiantnetesCertificatesEnd"] == f"{left} < 86400"
    words = " ".join(CERTIFICATES.read_text().split())
    assert "`GiantnetesCertificatesEndSoon` (below 5 days) and `GiantnetesCertificatesEnd` (below one)" in words
    rows = dict(re.findall(r"^\| `(\w+)` \| \w+ \| (.*)$", DEPLOYMENT.read_text(), re.MULTILINE))
    assert "ends within 5 days" in rows["GiantnetesCertificatesEndSoon"]
    assert rows["GiantnetesCertificatesEnd"].startswith("the same, within a day")


def test_they_are_installed_when_they_are_wanted() -> None:
    objects = rendered(EVERYTHING)
    (rules,) = of_kind(objects, "PrometheusRule").values()
    assert rules["spec"]["groups"][0]["rules"] == RULES
    assert json.loads(of_kind(objects, "ConfigMap")["dashboard"]["data"]["giantnetes.json"]) == DASHBOARD
    (monitor,) = of_kind(objects, "PodMonitor").values()
    chosen = monitor["spec"]["selector"]["matchLabels"].items()
    for deployment in of_kind(objects, "Deployment").values():
        pod = deployment["spec"]["template"]
        assert chosen <= pod["metadata"]["labels"].items()
        assert "metrics" in {port["name"] for port in pod["spec"]["containers"][0]["ports"]}
    assert all(each["metadata"]["labels"]["release"] == "prometheus" for each in (rules, monitor))
    usually = rendered(NEEDED)
    assert not {each["kind"] for each in usually} & {"PrometheusRule", "PodMonitor"}
    assert "dashboard" not in of_kind(usually, "ConfigMap")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack with a cluster, one beyond its quota, and a workflow that there isn't."""
    with running_stack() as running:
        cluster = json.loads((EXAMPLES / "demo.json").read_text())
        cluster["spec"]["nodePools"] = [{"name": "huge", "replicas": 100, "machine": {"cpus": 64}}]
        Resourced(running.host_kubeconfig, running.state).apply("small")
        file = running.state / "huge.json"
        file.write_text(json.dumps(cluster))
        kubectl(running.host_kubeconfig, "apply", "--filename", str(file))
        wanted = ("--type", "NoSuch", "--task-queue", "clusters", "--workflow-id", "no-such")
        temporal(running, "workflow", "start", *wanted)
        yield running


@pytest.mark.timeout(300)
def test_each_metric_is_exported(stack: Stack) -> None:
    wanted = {name for expression in EXPRESSIONS for name in METRIC.findall(expression)}
    deadline = time.monotonic() + SECONDS
    while missing := wanted - exported(stack):
        assert time.monotonic() < deadline, missing
        time.sleep(0.5)


def exported(stack: Stack) -> set[str]:
    """Return the names of all series of worker and bridge."""
    pages = [
        requests.get(f"http://{at}/metrics", timeout=5).text
        for at in (stack.metrics_address, stack.bridge_address)
    ]
    return set(re.findall(r"^(\w+)", "\n".join(pages), re.MULTILINE))
