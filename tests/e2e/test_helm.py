"""helm keeps charts in the registry: packaged, pushed, shown, pulled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.clients import Tool, client
from tests.e2e.images import OCI_MANIFEST
from tests.e2e.registry import Registry
from tests.serving import Server

PLAIN = "--plain-http"
CHART = """\
apiVersion: v2
name: harbour
description: A chart of the tests
version: 1.2.3+build.7
appVersion: "4.5"
"""
TEMPLATE = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  greeting: {{ .Values.greeting }}
"""


@pytest.fixture(scope="module")
def helm(environment: dict[str, str], server: Server) -> Tool:
    tool = Tool(client("helm"), environment)
    login = ["registry", "login", server.address, "-u", server.user, "--password-stdin", PLAIN]
    tool(*login, stdin=server.password)
    return tool


@pytest.fixture
def chart(helm: Tool, tmp_path: Path) -> Path:
    """A packaged chart; its `+build` becomes `_build` in the tag."""
    source = tmp_path / "harbour"
    (source / "templates").mkdir(parents=True)
    (source / "Chart.yaml").write_text(CHART)
    (source / "values.yaml").write_text("greeting: ahoy\n")
    (source / "templates" / "configmap.yaml").write_text(TEMPLATE)
    helm("package", source, "-d", tmp_path)
    return tmp_path / "harbour-1.2.3+build.7.tgz"


def test_login_takes_the_right_password_only(
    helm: Tool, server: Server, stranger: dict[str, str], tmp_path: Path
) -> None:
    other = helm.having(**stranger, HELM_REGISTRY_CONFIG=str(tmp_path / "helm.json"))
    login = ["registry", "login", server.address, "-u", server.user, "--password-stdin", PLAIN]
    assert "401" in other.refused(*login, stdin="wrong")
    assert "Login Succeeded" in other.words(*login, stdin=server.password)
    other("registry", "logout", server.address)


def test_a_chart_is_pushed_shown_pulled_and_rendered(
    helm: Tool, registry: Registry, project: str, chart: Path, tmp_path: Path
) -> None:
    words = helm.words("push", chart, f"oci://{registry.name(project)}/charts", PLAIN)
    stored = registry.check_whole(f"{project}/charts/harbour", "1.2.3_build.7")
    assert f"Digest: {stored.digest}" in words
    assert stored.media_type == OCI_MANIFEST
    assert stored.document["config"]["mediaType"] == "application/vnd.cncf.helm.config.v1+json"

    where = f"oci://{registry.name(project)}/charts/harbour"
    version = ["--version", "1.2.3+build.7", PLAIN]
    assert "description: A chart of the tests" in helm("show", "chart", where, *version)
    assert "greeting: ahoy" in helm("show", "values", where, *version)
    (tmp_path / "back").mkdir()
    helm("pull", where, *version, "-d", tmp_path / "back")
    assert (tmp_path / "back" / chart.name).read_bytes() == chart.read_bytes()
    assert "greeting: ahoy" in helm("template", "mine", where, *version)


def test_the_newest_version_is_found_by_the_tags(
    helm: Tool, registry: Registry, project: str, chart: Path, tmp_path: Path
) -> None:
    where = f"oci://{registry.name(project)}"
    for version in ("0.9.0", "0.10.0"):
        helm("package", chart.parent / "harbour", "--version", version, "-d", tmp_path)
        helm("push", tmp_path / f"harbour-{version}.tgz", where, PLAIN)
    assert registry.tags(f"{project}/harbour") == ["0.10.0", "0.9.0"]
    assert "version: 0.10.0" in helm("show", "chart", f"{where}/harbour", PLAIN)


def test_a_stranger_sees_no_chart(
    helm: Tool,
    registry: Registry,
    project: str,
    chart: Path,
    stranger: dict[str, str],
    tmp_path: Path,
) -> None:
    helm("push", chart, f"oci://{registry.name(project)}", PLAIN)
    other = helm.having(**stranger, HELM_REGISTRY_CONFIG=str(tmp_path / "helm.json"))
    where = f"oci://{registry.name(project)}/harbour"
    words = other.refused("show", "chart", where, "--version", "1.2.3+build.7", PLAIN)
    assert "401" in words or "403" in words or "denied" in words
