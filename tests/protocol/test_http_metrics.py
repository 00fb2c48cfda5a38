"""`/metrics` and the access records: what operators see of what was done."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.protocol.client import (
    Json,
    Registry,
    access_records,
    admin_of,
    answer_on,
    basic,
    client,
    connected,
    digest_of,
    eventually,
    head_of,
    metric,
    refused,
)
from tests.serving import PASSWORD, Server, free_port, serving


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose every request is known."""
    with serving(tmp_path_factory.mktemp("measured") / "data", workers=2) as started:
        yield started


def ask(server: Server, path: str, times: int = 1, method: str = "GET") -> None:
    """Requests on connections of their own, so that either worker takes some."""
    for _ in range(times):
        with connected(server) as sock:
            sock.sendall(head_of(method, path, basic(server), "Connection: close"))
            answer_on(sock, method)


def exposition(server: Server) -> str:
    with client(server) as anybody:
        answer = anybody.get("/metrics")
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        return answer.text


# --- metrics --------------------------------------------------------------------------------------


def test_counts_are_right_with_two_workers(measured: Server) -> None:
    with admin_of(measured) as admin:
        payload = admin.push_image("counted/app", "1", b"x" * 5000)
    before = exposition(measured)
    ask(measured, "/v2/counted/app/manifests/1", 60)
    ask(measured, "/v2/counted/app/manifests/absent", 21)
    ask(measured, "/v2/counted/app/manifests/1", 11, "HEAD")
    ask(measured, f"/v2/counted/app/blobs/{digest_of(b'x' * 5000)}", 30)
    requests, seconds = "entrepot_http_requests_total", "entrepot_http_request_seconds"

    def grown() -> list[float]:
        now = exposition(measured)

        def by(name: str, **labels: str) -> float:
            return metric(now, name, **labels) - metric(before, name, **labels)

        return [
            by(requests, operation="manifest.get", status="200"),
            by(requests, operation="manifest.get", status="404"),
            by(requests, operation="manifest.head", status="200"),
            by(requests, operation="blob.get", status="200"),
            by("entrepot_http_sent_bytes_total", operation="blob.get"),
            by(f"{seconds}_count", operation="manifest.get"),
            by(f"{seconds}_bucket", operation="manifest.get", le="+Inf"),
        ]

    right = [60, 21, 11, 30, 30 * 5000, 81, 81]
    eventually(lambda: grown() == right)  # workers hand over what they counted a few times a second
    assert [grown() for _ in range(10)] == [right] * 10, "whichever worker is asked"
    sent = "entrepot_http_sent_bytes_total"
    assert metric(exposition(measured), sent, operation="manifest.get") >= 60 * len(payload)


def test_received_bytes_are_counted(measured: Server) -> None:
    before = exposition(measured)
    with admin_of(measured) as admin:
        admin.push_blob("counted/app", b"y" * 123_456)

    def grown() -> float:
        name = "entrepot_http_received_bytes_total"
        return metric(exposition(measured), name) - metric(before, name)

    assert eventually(lambda: grown() == 123_456)


def test_open_upload_sessions_are_counted(measured: Server) -> None:
    with admin_of(measured) as admin:
        before = metric(exposition(measured), "entrepot_upload_sessions")
        locations = [admin.begin("counted/app") for _ in range(3)]
        assert metric(exposition(measured), "entrepot_upload_sessions") == before + 3
        for location in locations:
            admin.delete(location)
        assert metric(exposition(measured), "entrepot_upload_sessions") == before


def test_an_exposition_has_no_sample_twice(measured: Server) -> None:
    samples = [line.rpartition(" ")[0] for line in exposition(measured).splitlines() if not line.startswith("#")]
    assert len(samples) == len(set(samples))


def test_paths_do_not_become_labels(measured: Server) -> None:
    ask(measured, "/v2/some-unheard-of/name/manifests/1", 2)
    ask(measured, "/unheard-of-path", 2)
    time.sleep(0.4)
    assert "unheard-of" not in exposition(measured)


def test_metrics_may_need_a_login(tmp_path_factory: pytest.TempPathFactory) -> None:
    environment = {"ENTREPOT_METRICS_LOGIN": "true"}
    folder = tmp_path_factory.mktemp("login")
    with (
        serving(folder / "data", environment=environment) as started,
        admin_of(started) as admin,
        client(started) as anybody,
    ):
        answer = anybody.get("/metrics")
        refused(answer, 401, "UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert anybody.http.get("/metrics", auth=("admin", "wrong-password")).status_code == 401
        assert admin.get("/metrics").status_code == 200
        assert anybody.get("/livez").status_code == 200


def test_metrics_may_have_a_listener_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    port = free_port()
    environment = {"ENTREPOT_METRICS_LISTEN": f"127.0.0.1:{port}"}
    folder = tmp_path_factory.mktemp("listener")
    with serving(folder / "data", workers=2, environment=environment) as started, admin_of(started) as admin:
        admin.push_image("counted/app", "1")
        assert admin.get("/metrics").status_code == 404
        with client(started) as anybody:
            other = f"http://127.0.0.1:{port}"

            def pushed() -> float:
                text = anybody.http.get(f"{other}/metrics").text
                return metric(text, "entrepot_http_requests_total", operation="manifest.put", status="201")

            assert eventually(lambda: pushed() == 1)
            assert anybody.http.get(f"{other}/readyz").status_code == 200
            refused(anybody.http.get(f"{other}/v2/"), 404, "NAME_UNKNOWN")
            assert anybody.http.get(f"{other}/service/token").status_code == 404


# --- access records -------------------------------------------------------------------------------


def record_of(server: Server, request_id: str) -> Json:
    def found() -> list[Json]:
        return [record for record in access_records(server) if record["request_id"] == request_id]

    assert eventually(lambda: bool(found())), f"no access record of {request_id}"
    assert len(found()) == 1
    return found()[0]


def test_a_record_tells_who_did_what(admin: Registry, repository: str) -> None:
    content = b"z" * 70_000
    location = admin.begin(repository)
    answer = admin.finish(location, digest_of(content), content, X_Request_ID="record-put", User_Agent="tester/1")
    assert answer.headers["X-Request-ID"] == "record-put"
    record = record_of(admin.server, "record-put")
    assert record["principal"] == "admin"
    assert record["client_address"] == "127.0.0.1"
    assert record["method"] == "PUT"
    assert record["path"] == location
    assert record["operation"] == "upload.finish"
    assert record["status"] == 201
    assert record["bytes_in"] == len(content)
    assert record["bytes_out"] == 0
    assert 0 < record["duration"] < 30
    assert record["aborted"] is False
    assert record["user_agent"] == "tester/1"
    assert abs(datetime.fromisoformat(record["time"]).timestamp() - time.time()) < 60


def test_a_record_counts_what_was_sent(admin: Registry, repository: str) -> None:
    content = b"z" * 1_000_000
    where = f"/v2/{repository}/blobs/{admin.push_blob(repository, content)}"
    admin.get(where, {"X-Request-ID": "record-get"})
    admin.get(where, {"X-Request-ID": "record-range", "Range": "bytes=0-99"})
    admin.head(where, {"X-Request-ID": "record-head"})
    assert record_of(admin.server, "record-get")["bytes_out"] == len(content)
    assert record_of(admin.server, "record-range")["bytes_out"] == 100
    assert record_of(admin.server, "record-head")["bytes_out"] == 0
    assert record_of(admin.server, "record-range")["status"] == 206


def test_a_refusal_is_recorded_too(anybody: Registry, repository: str) -> None:
    anybody.get(f"/v2/{repository}/manifests/1", {"X-Request-ID": "record-401"})
    record = record_of(anybody.server, "record-401")
    assert (record["status"], record["principal"], record["operation"]) == (401, "anonymous", "manifest.get")
    anybody.get("/nothing/here", {"X-Request-ID": "record-404"})
    assert record_of(anybody.server, "record-404")["status"] == 404


def test_a_client_that_left_in_the_middle_of_a_get_is_recorded_so(
    server: Server, admin: Registry, repository: str
) -> None:
    where = f"/v2/{repository}/blobs/{admin.push_blob(repository, b'q' * 60_000_000)}"
    with connected(server) as sock:
        sock.sendall(head_of("GET", where, basic(server), "X-Request-ID: record-left"))
        sock.recv(65536)
        time.sleep(0.3)
    record = record_of(server, "record-left")
    assert record["aborted"] is True, record
    assert record["bytes_out"] < 60_000_000


def test_a_client_that_left_in_the_middle_of_a_patch_is_recorded_so(
    server: Server, admin: Registry, repository: str
) -> None:
    location = admin.begin(repository)
    with connected(server) as sock:
        lines = (basic(server), "Content-Length: 1000000", "X-Request-ID: record-left-put")
        sock.sendall(head_of("PATCH", location, *lines) + b"q" * 1000)
        time.sleep(0.1)
    record = record_of(server, "record-left-put")
    assert record["aborted"] is True, record
    assert record["bytes_in"] == 1000


def test_every_request_gets_an_id_of_its_own(anybody: Registry) -> None:
    made = {anybody.get("/livez").headers["X-Request-ID"] for _ in range(50)}
    assert len(made) == 50
    assert record_of(anybody.server, made.pop())["operation"] == "livez"


def test_no_secret_is_ever_recorded(server: Server, admin: Registry, anybody: Registry) -> None:
    token = admin.token("repository:demo/app:pull")
    fields = {"grant_type": "password", "username": "admin", "password": PASSWORD, "access_type": "offline"}
    refresh = anybody.http.post("/service/token", data=fields).json()["refresh_token"]
    anybody.http.post("/service/token", data={"grant_type": "refresh_token", "refresh_token": refresh})
    anybody.get(f"/v2/?token={token}&password={PASSWORD}", {"Authorization": f"Bearer {token}"})
    anybody.http.get("/service/token", auth=("admin", "a-wrong-password-of-mine"))
    anybody.get("/livez", {"X-Request-ID": "after-secrets"})
    record_of(server, "after-secrets")
    log = server.log_text()
    for secret in (PASSWORD, token, refresh, token.rpartition(".")[2], "a-wrong-password-of-mine"):
        assert secret not in log


def test_records_can_be_turned_off(tmp_path_factory: pytest.TempPathFactory) -> None:
    environment = {"ENTREPOT_LOG_ACCESS": "false"}
    with serving(tmp_path_factory.mktemp("silent") / "data", environment=environment) as started:
        ask(started, "/v2/", 3)
        time.sleep(0.3)
        assert access_records(started) == []
