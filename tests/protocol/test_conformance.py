"""The conformance program of the distribution-spec: every API and every data set, with authentication."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Server, serving

PROGRAM = os.environ.get("OCI_CONFORMANCE", "")

pytestmark = pytest.mark.skipif(
    not PROGRAM,
    reason="OCI_CONFORMANCE does not name the conformance program (distribution-spec, folder conformance/)",
)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("conformance") / "data", workers=2) as started:
        yield started


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    environment = {"ENTREPOT_REGISTRY_SPARSE": "true"}
    folder = tmp_path_factory.mktemp("conformance-sparse")
    with serving(folder / "data", workers=2, environment=environment) as started:
        yield started


@pytest.mark.parametrize("version", ["1.1", "dev"])
@pytest.mark.parametrize("setting", ["strict", "sparse"])
def test_the_registry_conforms(version: str, setting: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(setting)
    results = tmp_path / "results"
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(tmp_path),
        "OCI_REGISTRY": server.address,
        "OCI_TLS": "disabled",
        "OCI_REPO1": f"conformance-{version}/repo1",
        "OCI_REPO2": f"conformance-{version}/repo2",
        "OCI_USERNAME": server.user,
        "OCI_PASSWORD": server.password,
        "OCI_VERSION": version,
        "OCI_RESULTS_DIR": str(results),
        "OCI_API_BLOBS_DIGEST_HEADER": "true",
        "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
        "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
        "OCI_API_MANIFESTS_TAG_PARAM": "true",
        "OCI_DATA_SPARSE": str(setting == "sparse").lower(),
    }
    done = subprocess.run(
        [PROGRAM], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    told = (done.stdout + done.stderr)[-6000:]
    assert done.returncode == 0, told
    text = (results / "results.yaml").read_text()
    outcomes = re.findall(r"^\s+[\w.\- ]+: (Pass|FAIL|Fail|Error|Skip|Disabled)\s*$", text, re.MULTILINE)
    assert outcomes.count("Pass") > 30, told
    assert not {"FAIL", "Fail", "Error"} & set(outcomes), told
