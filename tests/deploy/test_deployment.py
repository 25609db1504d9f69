"""What deploy/ names exists: every setting, option, port, metric and file; manifests are whole and closed by default.

Neither Docker nor Kubernetes is run: files are read, the chart is rendered, and both are held against the code.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from prometheus_client import CollectorRegistry

from deploy.go_template import render
from vecguard.cli import app
from vecguard.config import Settings, host_and_port, load_settings
from vecguard.errors import ConfigError
from vecguard.policy.load import check_text
from vecguard.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "vecguard"
COMPOSE = [DEPLOY / "compose" / name for name in ("qdrant.yaml", "milvus.yaml")]
KINDS = {
    "ConfigMap": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
}
CLEAR = {"allowClearNetwork": True}
VALUES: dict[str, dict[str, Any]] = {
    "clear": CLEAR,
    "tls": {"tlsSecret": "certificate", "policy": "version: 1\ncollections: [{match: '*'}]\n"},
    "milvus": CLEAR | {"qdrant": False, "milvus": True, "upstream": "milvus://milvus:19530"},
    "state": CLEAR
    | {
        "environmentSecret": "keys",
        "state": {"url": "redis://state:6379", "allowClearNetwork": True, "labels": {"app": "redis"}},
    },
    "plain": CLEAR | {"metrics": False, "environmentSecret": "keys", "autoscaling": {"enabled": False}},
}


def require_command(arguments: Sequence[str]) -> None:
    """Fail unless `vecguard` has this command with these options."""
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {argument for argument in rest if argument.startswith("--")} <= known


def settings_of(text: str, folder: Path, *options: str) -> Settings:
    """The settings in a file's text, with the options of a command line after `serve --config FILE`."""
    (folder / "config.yaml").write_text(text)
    pairs = zip(options[::2], options[1::2], strict=True)
    return load_settings(folder / "config.yaml", {name.removeprefix("--"): value for name, value in pairs})


def port(listen: str) -> int:
    return host_and_port(listen)[1]


# -- images ------------------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in whole.splitlines()]


def test_the_image_runs_as_nobody_in_particular() -> None:
    stages = [value for word, value in instructions() if word == "FROM"]
    assert len(stages) == 2
    assert all("python:" in stage and ":latest" not in stage for stage in stages)
    last = instructions()[[word for word, _ in instructions()].index("USER") :]
    assert last[0][1] == "10001:10001"
    assert not any(word in {"RUN", "COPY", "ADD", "FROM"} for word, _ in last)
    assert not any(word == "ADD" for word, _ in instructions())


def test_the_image_is_built_of_what_there_is() -> None:
    ignored = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().split()
    for word, value in instructions():
        if word == "COPY" and not value.startswith("--from"):
            for source in value.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source.removeprefix('./')}" in ignored, source
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (asked,) = [value.partition("=")[2] for word, value in instructions() if word == "ARG" and "EXTRAS" in value]
    assert set(asked.split(",")) <= extras.keys()
    entry = [value for word, value in instructions() if word == "ENTRYPOINT"]
    assert entry == ['["vecguard"]']
    for word, value in instructions():
        if word == "CMD":
            require_command(json.loads(value))
        if word == "HEALTHCHECK":
            require_command(json.loads(value.partition("CMD ")[2])[1:])


def test_the_image_exposes_the_ports_that_the_settings_have(tmp_path: Path) -> None:
    settings = settings_of((DEPLOY / "compose" / "vecguard" / "config.yaml").read_text(), tmp_path)
    (exposed,) = [value for word, value in instructions() if word == "EXPOSE"]
    listens = (settings.rest, settings.listen, settings.milvus_listen, settings.metrics)
    assert [int(one) for one in exposed.split()] == [port(listen) for listen in listens]


# -- compose -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=COMPOSE, ids=lambda path: path.stem)
def compose(request: pytest.FixtureRequest) -> Any:
    return yaml.safe_load(request.param.read_text())


def test_a_stack_is_whole(compose: Any) -> None:
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= services.keys()
        assert set(service["networks"]) <= compose["networks"].keys()
        tag = service["image"].rpartition(":")[2]
        assert tag not in {"latest", service["image"]}, name
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (DEPLOY / "compose" / source).exists() if source.startswith(".") else source in compose["volumes"]


def test_only_the_proxy_reaches_the_database_and_ports_are_this_machines(compose: Any) -> None:
    services = compose["services"]
    assert compose["networks"]["database"]["internal"]
    for name, service in services.items():
        if name in {"prometheus", "grafana"}:
            assert "database" not in service["networks"]
        elif name != "vecguard":
            assert service["networks"] == ["database"]
            assert "ports" not in service
        assert all(one.startswith("127.0.0.1:") for one in service.get("ports", ()))
    proxy = services["vecguard"]
    assert proxy["read_only"]
    assert proxy["cap_drop"] == ["ALL"]


def test_the_proxy_of_a_stack_has_settings_and_a_policy(compose: Any, tmp_path: Path) -> None:
    proxy = compose["services"]["vecguard"]
    require_command(proxy["command"])
    text = (DEPLOY / "compose" / "vecguard" / "config.yaml").read_text()
    settings = settings_of(text, tmp_path, *proxy["command"][3:])
    (upstream,) = settings.upstream
    assert upstream.target.partition(":")[0] in compose["services"]
    published = {int(one.rpartition(":")[2]) for one in proxy["ports"]}
    assert published == {port(address) for address in settings.addresses}
    assert check_text((DEPLOY / "compose" / "vecguard" / "policy.yaml").read_text()).errors == ()
    scraped = yaml.safe_load((DEPLOY / "compose" / "prometheus.yaml").read_text())["scrape_configs"][0]
    assert scraped["static_configs"] == [{"targets": [f"vecguard:{port(settings.metrics)}"]}]
    sources = "".join(path.read_text() for path in (ROOT / "vecguard").rglob("*.py"))
    assert all(f'"{name}"' in sources for name in proxy["environment"])
    for line in settings.admin.listen, str(settings.admin.blocks), str(settings.trail_folder), settings.key:
        where = line.partition(":")[2] or line
        assert where.startswith(("/tmp/", "/var/lib/vecguard/")), "the rest of the file system is read-only"


# -- what is watched ---------------------------------------------------------------------------------------------------


def families() -> dict[str, set[str]]:
    """Every sample name that Prometheus can find, with its labels."""
    registry = CollectorRegistry()
    metrics = Metrics({"c": "c"}.get, collections=1, registry=registry)
    fields = {"rpc": "/a/B", "protocol": "grpc", "collections": ["c"], "ms": 1.0, "stages": {"auth": 1.0}}
    for cause in ("integrity", "upstream"):
        metrics("call", status="X", cause=cause, candidates=1, uncertified=1, **fields)
    metrics.upstream_connected("qdrant", True)
    metrics.policy_reloaded(True)
    metrics("detection", rung="alert", enforced=True, detectors={"walk": 1.0})
    metrics("budget", budget="records_per_day", enforced=True)
    metrics("integrity", collection="c", records=1, rolled_back=1)
    metrics.detection.state(True, 0)
    metrics.detection.webhook(0, {})
    return {sample.name: set(sample.labels) for family in registry.collect() for sample in family.samples}


def expressions() -> Iterator[str]:
    dashboard = json.loads((DEPLOY / "compose" / "grafana" / "vecguard.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (variable["query"] for variable in dashboard["templating"]["list"])
    groups = yaml.safe_load((DEPLOY / "compose" / "alerts.yaml").read_text())["groups"]
    yield from (rule["expr"] for group in groups for rule in group["rules"])


def test_dashboard_and_alerts_ask_for_metrics_and_labels_that_there_are() -> None:
    known = families()
    asked = set()
    for expression in expressions():
        assert expression.count("(") == expression.count(")")
        names = set(re.findall(r"\bvecguard_[a-z_]+\b", expression))
        assert names <= known.keys(), expression
        asked |= names
        labels = set(re.findall(r"[{,]\s*([a-z_]+)(?:=|!)", expression))
        for grouped in re.findall(r"\b(?:by|ignoring) ?\(([a-z_, ]+)\)", expression):
            labels |= {label.strip() for label in grouped.split(",")}
        assert labels <= {"job", *(label for name in names for label in known[name])}, expression
    whole = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in asked}
    assert whole == {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in known}, "each is shown"


def test_metrics_in_the_documentation_are_those_that_there_are() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    named = set(re.findall(r"`(vecguard_[a-z_]+)`", text))
    known = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in families()}
    assert named == {name for name in known if (name + "_total") not in known}


# -- Kubernetes --------------------------------------------------------------------------------------------------------


def manifests(changed: dict[str, Any]) -> dict[str, list[Any]]:
    """The chart's manifests by kind."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for key, value in changed.items():
        assert key in values, key
        values[key] = {**values[key], **value} if isinstance(value, dict) else value
    found: dict[str, list[Any]] = {}
    for template in sorted((CHART / "templates").iterdir()):
        text = render(template.read_text(), {"Values": values, "Release": {"Name": "test"}})
        for manifest in yaml.safe_load_all(text):
            if manifest is not None:
                found.setdefault(manifest["kind"], []).append(manifest)
    return found


@pytest.fixture(params=VALUES, ids=str)
def rendered(request: pytest.FixtureRequest) -> Any:
    return manifests(VALUES[request.param])


def test_every_manifest_is_of_a_kind_and_version_that_clusters_have(rendered: Any) -> None:
    assert {"ConfigMap", "Service", "Deployment", "PodDisruptionBudget", "NetworkPolicy"} <= rendered.keys()
    for kind, found in rendered.items():
        for manifest in found:
            assert manifest["apiVersion"] == KINDS[kind]
            assert manifest["metadata"]["name"].startswith("test-vecguard")
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]


def test_settings_policy_and_ports_fit(rendered: Any, tmp_path: Path) -> None:
    (config,) = rendered["ConfigMap"]
    settings = settings_of(config["data"]["config.yaml"], tmp_path)
    assert check_text(config["data"]["policy.yaml"]).errors == ()
    pod = rendered["Deployment"][0]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    listened = {port(address) for address in settings.addresses}
    metrics = set() if settings.metrics_listen is None else {port(settings.metrics_listen)}
    assert set(ports.values()) == listened | metrics
    (service,) = rendered["Service"]
    assert {one["targetPort"]: one["port"] for one in service["spec"]["ports"]} == ports
    allowed = [one["port"] for rule in rendered["NetworkPolicy"][1]["spec"]["ingress"] for one in rule["ports"]]
    assert set(allowed) == ports.keys()
    require_command(container["args"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        command = container[probe]["exec"]["command"]
        require_command(command[1:])
        assert command[-1] == settings.admin.listen


def test_pods_are_selected_and_closed(rendered: Any) -> None:
    (deployment,) = rendered["Deployment"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = [deployment["spec"]["selector"]["matchLabels"], rendered["Service"][0]["spec"]["selector"]]
    selectors += [rendered["PodDisruptionBudget"][0]["spec"]["selector"]["matchLabels"]]
    selectors += [rendered["NetworkPolicy"][1]["spec"]["podSelector"]["matchLabels"]]
    assert all(selector == labels for selector in selectors)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def test_the_database_is_reachable_from_the_proxy_only(rendered: Any) -> None:
    database = rendered["NetworkPolicy"][0]["spec"]
    labels = rendered["Deployment"][0]["spec"]["template"]["metadata"]["labels"]
    assert database["policyTypes"] == ["Ingress"]
    proxy, itself = database["ingress"]
    assert proxy["from"] == [{"podSelector": {"matchLabels": labels}}]
    assert itself["from"] == [{"podSelector": database["podSelector"]}]


def test_the_store_of_shared_state_is_reachable_from_the_proxy_only(tmp_path: Path) -> None:
    assert len(manifests(VALUES["clear"])["NetworkPolicy"]) == 2
    rendered = manifests(VALUES["state"])
    settings = settings_of(rendered["ConfigMap"][0]["data"]["config.yaml"], tmp_path)
    assert settings.state is not None
    assert (settings.state.host, settings.state.fail) == ("state", "closed")
    policy = rendered["NetworkPolicy"][2]["spec"]
    labels = rendered["Deployment"][0]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"] == {"app": "redis"}
    assert [rule["from"] for rule in policy["ingress"]] == [[{"podSelector": {"matchLabels": labels}}]]
    assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": settings.state.port}]


def test_replicas_are_counted_in_one_place() -> None:
    scaled, fixed = manifests(VALUES["clear"]), manifests(VALUES["plain"])
    assert "replicas" not in scaled["Deployment"][0]["spec"]
    assert scaled["HorizontalPodAutoscaler"][0]["spec"]["minReplicas"] == 2
    assert fixed["Deployment"][0]["spec"]["replicas"] == 2
    assert "HorizontalPodAutoscaler" not in fixed


def test_the_chart_listens_in_clear_only_where_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="allow_clear_network"):
        settings_of(manifests({})["ConfigMap"][0]["data"]["config.yaml"], tmp_path)


def test_the_sidecar_is_reachable_from_its_pod_only(tmp_path: Path) -> None:
    config, deployment = yaml.safe_load_all((DEPLOY / "kubernetes" / "sidecar.yaml").read_text())
    settings = settings_of(config["data"]["config.yaml"], tmp_path)
    assert all(address.startswith("127.0.0.1:") for address in settings.addresses)
    assert check_text(config["data"]["policy.yaml"]).errors == ()
    pod = deployment["spec"]["template"]["spec"]
    (sidecar,) = pod["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    require_command(sidecar["args"])
    require_command(sidecar["startupProbe"]["exec"]["command"][1:])
    assert {mount["name"] for mount in sidecar["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
    url = pod["containers"][0]["env"][0]["value"]
    assert url == f"http://{settings.rest}"


UNKNOWN = ("{{ include `x` . }}", "{{ .Values.a | upper }}", "{{.Values.a}}", "{{- end }}", "{{ if .Values.a }}x")


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_the_reader_of_templates_does_not_know_it_refuses(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        render(text, {"Values": {"a": "b"}})


# -- systemd -----------------------------------------------------------------------------------------------------------


def test_the_units_settings_are_settings(tmp_path: Path) -> None:
    settings = settings_of((DEPLOY / "systemd" / "config.yaml").read_text(), tmp_path)
    assert settings.workers == 2
    unit = (DEPLOY / "systemd" / "vecguard.service").read_text()
    (command,) = re.findall(r"^ExecStart=\S+/vecguard (.*)$", unit, re.MULTILINE)
    require_command(command.split())
