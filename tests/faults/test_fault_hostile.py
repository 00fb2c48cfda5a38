"""Hostile input: garbage, false lengths, paths that climb, storms of passwords. The server answers, and lives."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest

from tests.faults.processes import workers_of
from tests.protocol.client import (
    EMPTY,
    OCI_MANIFEST,
    RawAnswer,
    Registry,
    admin_of,
    answer_on,
    basic,
    bearer,
    client,
    connected,
    digest_of,
    encoded,
    errors,
    head_of,
    image,
)
from tests.serving import Server


def talk(server: Server, sent: bytes, *, silence: float = 0.2) -> bytes:
    """All that comes back on what was sent, until the server hangs up or is silent."""
    with connected(server) as sock:
        with suppress(OSError):
            sock.sendall(sent)
        got = b""
        sock.settimeout(silence)
        with suppress(OSError):
            while piece := sock.recv(65_536):
                got += piece
        return got


def statuses(got: bytes) -> list[int]:
    """The statuses of all answers in a stream."""
    return [int(line.split()[1]) for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.")]


@pytest.fixture(autouse=True)
def _lives(server: Server) -> Iterator[None]:
    """After every test the same workers answer."""
    before = workers_of(server)
    yield
    assert workers_of(server) == before
    with client(server) as anybody:
        assert anybody.get("/livez").status_code == 200


# --- what is no request ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00" * 5000,
        bytes(range(256)) * 40,
        b"\r\n" * 5000,
        b"GET\r\n\r\n",
        b"GET /v2/\r\n\r\n",
        b"GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\n\r\n",
        b"GET v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"GET /v2/\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 500,
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://evil.example/v2/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: Upgrade\r\n\r\n",
        b"GET /v2/?" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a/" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Large: " + b"a" * 2_000_000 + b"\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\n" + b"X-Many: 1\r\n" * 20_000 + b"\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + b"A" * 30_000 + b"\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"." * 30_000 + b"\r\n\r\n",
        b"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic \xff\xfe\xfd\r\n\r\n",
        b'GET /v2/ HTTP/1.1\r\nHost: \xff\xfe"\r\n\r\n',
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: \xff\r\n\r\n",
        b'GET /v2/ HTTP/1.1\r\nHost: x\r\nUser-Agent: \xff\xfe "\\\t\r\n\r\n',
    ],
    ids=range(30),
)
def test_what_is_no_proper_request_gets_no_success_and_no_traceback(server: Server, sent: bytes) -> None:
    got = talk(server, sent)
    assert all(400 <= status < 500 or (status == 200 and b"livez" in sent) for status in statuses(got)), got[:500]
    assert b"Traceback" not in got
    assert b"evil.example/service" not in got or b"Host: x" not in sent


# --- lengths that lie -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        ["Content-Length: -1"],
        ["Content-Length: +5"],
        ["Content-Length: 0x5"],
        ["Content-Length: 5, 6"],
        ["Content-Length: five"],
        ["Content-Length: 99999999999999999999999999"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Content-Length: 5", "Transfer-Encoding: gzip"],
    ],
)
def test_a_length_that_means_nothing_is_refused(server: Server, lines: list[str]) -> None:
    smuggled = head_of("GET", "/livez")
    got = talk(server, head_of("POST", "/service/token", *lines) + b"hello" + smuggled)
    assert len(statuses(got)) <= 1, got
    assert all(400 <= status < 600 for status in statuses(got)), got
    assert b"alive" not in got


@pytest.mark.parametrize(
    "lines", [["Content-Length: 5", "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked", "Content-Length: 5"]]
)
def test_a_length_beside_chunked_encoding_smuggles_nothing(server: Server, lines: list[str]) -> None:
    # RFC 9112, 6.3: an error, or chunked with the connection closed afterwards.
    body = b"0\r\n\r\n"
    got = talk(server, head_of("POST", "/service/token", *lines) + body + head_of("GET", "/livez"))
    first, *more = statuses(got)
    assert first == 400 or more == [], got


@pytest.mark.parametrize(
    "body",
    [
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"ffffffffffffffffff\r\nhello",
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5;" + b"x" * 100_000 + b"\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"0\r\n" + b"Trailer: x\r\n" * 10_000 + b"\r\n",
    ],
    ids=range(7),
)
def test_chunks_that_are_none_store_nothing(server: Server, admin: Registry, repository: str, body: bytes) -> None:
    location = admin.begin(repository)
    path = f"{location}?digest={digest_of(b'hello')}"
    got = talk(server, head_of("PUT", path, basic(server), "Transfer-Encoding: chunked") + body)
    assert 201 not in statuses(got), got
    assert admin.head(f"/v2/{repository}/blobs/{digest_of(b'hello')}").status_code == 404


def test_fewer_bytes_than_announced_store_nothing(server: Server, admin: Registry, repository: str) -> None:
    path = f"{admin.begin(repository)}?digest={digest_of(b'hello')}"
    got = talk(server, head_of("PUT", path, basic(server), "Content-Length: 500") + b"hello")
    assert 201 not in statuses(got)
    assert admin.head(f"/v2/{repository}/blobs/{digest_of(b'hello')}").status_code == 404


def test_pipelined_requests_are_answered_in_order(server: Server, admin: Registry, repository: str) -> None:
    payload = admin.push_image(repository, "1")
    path = f"/v2/{repository}/manifests"
    heads = [head_of("GET", f"{path}/{'1' if n % 2 else 'absent'}", basic(server)) for n in range(40)]
    with connected(server) as sock:
        sock.sendall(b"".join(heads))
        stream = sock.makefile("rb")
        answers: list[RawAnswer] = []
        for _ in heads:
            status = int(stream.readline().split()[1])
            headers: dict[str, str] = {}
            while (line := stream.readline()) != b"\r\n":
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            answers.append(RawAnswer(status, headers, stream.read(int(headers["content-length"]))))
        stream.close()
    assert [answer.status for answer in answers] == [404, 200] * 20
    assert all(answer.body == payload for answer in answers if answer.status == 200)


# --- paths that climb -----------------------------------------------------------------------------

CLIMBS = [
    "/v2/../../../../etc/passwd",
    "/../../etc/passwd",
    "/v2/demo/app/blobs/../../../../etc/passwd",
    "/v2/demo/app/blobs/uploads/../../../../keys/token.pem",
    "/v2/demo/app/blobs/uploads/..%2f..%2fentrepot.db",
    "/v2/demo/app/blobs/uploads/%2e%2e%2fkeys%2ftoken.pem",
    "/v2/demo/app/blobs/uploads/..%5c..%5centrepot.db",
    "/v2/demo/app/blobs/uploads//etc/passwd",
    "/v2/demo/app/blobs/uploads/%2fetc%2fpasswd",
    "/v2/demo/app/blobs/uploads/x%00y",
    "/v2/demo/app/blobs/uploads/.",
    "/v2/demo/app/blobs/uploads/" + "a" * 10_000,
    "/v2/demo/app/blobs/sha256:..%2f..%2f..%2fentrepot.db",
    "/v2/demo/app/manifests/..%2f..%2fentrepot.db",
    "/v2/demo/app/manifests/%00",
    "/v2/demo/app/manifests/" + "a" * 10_000,
    "/v2/" + "a" * 10_000 + "/app/tags/list",
    "/v2/" + "a/" * 5_000 + "tags/list",
    "/v2/%2e%2e/%2e%2e/tags/list",
    "/v2/demo/../app/tags/list",
    "/v2/demo/./app/tags/list",
    "/v2/demo/app%00/tags/list",
    "/v2/demo/app;x=1/tags/list",
    "/v2/demo/app%0d%0aX-Injected:%201/tags/list",
    "/v2/%ff%fe/app/tags/list",
    "/v2/" + "-" * 5_000 + "a/tags/list",
    "/v2/" + "a-" * 100 + "/tags/list",
    "/v2/" + "a_" * 120 + "!/tags/list",
    "/service/../keys/token.pem",
    "/%2e%2e/keys/token.pem",
    "/data/entrepot.db",
]


@pytest.mark.parametrize("path", CLIMBS, ids=lambda path: path[:60])
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE", "POST"])
def test_no_path_leads_out(server: Server, method: str, path: str) -> None:
    before = {entry.name for entry in server.data.parent.iterdir()}
    with connected(server) as sock:
        sock.sendall(head_of(method, path, basic(server), "Content-Length: 5", "Connection: close") + b"hello")
        began = time.monotonic()
        answer = answer_on(sock, method)
    assert answer.status in {400, 404, 405, 414, 431}, answer
    assert b"root:" not in answer.body
    assert b"PRIVATE" not in answer.body
    assert "x-injected" not in answer.headers
    assert time.monotonic() - began < 2
    if answer.body:
        assert answer.codes
    assert {entry.name for entry in server.data.parent.iterdir()} == before


@pytest.mark.parametrize(
    "value", ["../../x", "..%2f..%2fx", "sha256:../../../entrepot.db", "%00", "sha256:" + "a" * 10_000, "%ff"]
)
@pytest.mark.parametrize("parameter", ["digest", "mount", "from", "digest-algorithm"])
def test_no_parameter_leads_out(server: Server, admin: Registry, repository: str, parameter: str, value: str) -> None:
    more = f"&mount={digest_of(b'x')}" if parameter == "from" else ""
    with connected(server) as sock:
        path = f"/v2/{repository}/blobs/uploads/?{parameter}={value}{more}"
        sock.sendall(head_of("POST", path, basic(server), "Content-Length: 1") + b"x")
        answer = answer_on(sock, "POST")
    assert answer.status in {202, 400, 414}, answer
    location = admin.begin(repository)
    with connected(server) as sock:
        sock.sendall(head_of("PUT", f"{location}?{parameter}={value}", basic(server), "Content-Length: 1") + b"x")
        assert answer_on(sock, "PUT").status in {400, 414}


# --- documents ------------------------------------------------------------------------------------

DEEP = 100_000


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * DEEP,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"schemaVersion":2,"x":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"schemaVersion":2,"signatures":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"schemaVersion":2,"annotations":' + b"[" * DEEP + b"]" * DEEP + b"}",
        b'{"schemaVersion":2,"layers":[{"mediaType":"a/b","x":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}]}",
    ],
    ids=range(8),
)
def test_a_document_nested_without_end_is_manifest_invalid(admin: Registry, repository: str, payload: bytes) -> None:
    admin.push_blob(repository, EMPTY)
    answer = admin.put_manifest(repository, "deep", payload)
    assert answer.status_code == 400, answer.text
    assert errors(answer)[0]["code"] == "MANIFEST_INVALID"


def test_a_deep_field_of_an_image_is_kept_or_refused_cleanly(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = encoded(image()).rstrip()[:-1] + b',"x":' + b"[" * 2000 + b"]" * 2000 + b"}"
    answer = admin.put_manifest(repository, "deep", payload)
    assert answer.status_code in {201, 400}
    if answer.status_code == 201:
        assert admin.get(f"/v2/{repository}/manifests/deep").content == payload


@pytest.mark.parametrize("number", ["1e999", "9" * 5000, "-0", "1E400", "0." + "1" * 100_000])
def test_numbers_without_end(admin: Registry, repository: str, number: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = b'{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"%s","size":%s},"layers":[]}' % (
        digest_of(EMPTY).encode(),
        number.encode(),
    )
    answer = admin.put_manifest(repository, "numbers", payload)
    assert answer.status_code in {201, 400}
    answer = admin.put_manifest(repository, "numbers", b'{"schemaVersion":%s}' % number.encode())
    assert answer.status_code == 400


def test_an_image_of_a_hundred_thousand_missing_layers_is_answered_in_reason(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    digest = digest_of(b"never")
    layers = [{"mediaType": "a/b", "digest": f"sha256:{n:064x}", "size": 1} for n in range(30_000)]
    payload = json.dumps(image(layers=layers), separators=(",", ":")).encode()
    assert len(payload) < 4 * 1024 * 1024
    began = time.monotonic()
    answer = admin.put_manifest(repository, "wide", payload)
    assert (answer.status_code, errors(answer)[0]["code"]) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert len(answer.content) < 5_000_000
    assert time.monotonic() - began < 10
    assert digest not in answer.text


def test_a_stored_string_cannot_inject_headers(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    document = image() | {"mediaType": "a/b\r\nX-Injected: 1"}
    answer = admin.put_manifest(repository, "1", encoded(document), None)
    assert answer.status_code == 400
    answer = admin.put_manifest(repository, "1", encoded(image() | {"mediaType": "a/\u00e4"}), None)
    assert answer.status_code == 400


def test_surrogates_in_a_document_are_no_error_of_the_server(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    payload = encoded(image(annotations={"k": "v"})).replace(b'"v"', b'"\\ud800"')
    assert admin.put_manifest(repository, "1", payload).status_code in {201, 400}


# --- passwords ------------------------------------------------------------------------------------


def test_a_storm_of_wrong_passwords_does_not_hold_up_good_credentials(server: Server, admin: Registry) -> None:
    admin.push_image("storm/app", "1")
    token = admin.token("repository:storm/app:pull")
    outcomes: list[int] = []
    stop = threading.Event()

    def guess(number: int) -> None:
        tries = 0
        while not stop.is_set():
            tries += 1
            word = base64.b64encode(f"admin:guess-{number}-{tries}".encode()).decode()
            with suppress(OSError), connected(server) as sock:
                sock.sendall(head_of("GET", "/v2/", f"Authorization: Basic {word}", "Connection: close"))
                outcomes.append(answer_on(sock).status)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        slowest = 0.0
        with client(server, headers=bearer(token)) as holder, admin_of(server) as known:
            for _ in range(20):
                for registry in (holder, known):
                    began = time.monotonic()
                    assert registry.get("/v2/storm/app/manifests/1").status_code == 200
                    slowest = max(slowest, time.monotonic() - began)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert set(outcomes) <= {401, 429}
    assert 401 in outcomes
    assert slowest < 2, f"{slowest:.2f} s"


def test_a_storm_from_one_address_does_not_lock_out_another(server: Server) -> None:
    stop = threading.Event()
    refused: list[str] = []

    def guess(number: int) -> None:
        tries = 0
        while not stop.is_set():
            tries += 1
            word = base64.b64encode(f"admin:other-{number}-{tries}".encode()).decode()
            with suppress(OSError), connected(server) as sock:
                sock.sendall(head_of("GET", "/v2/", f"Authorization: Basic {word}", "Connection: close"))
                answer = answer_on(sock)
                if answer.status == 429:
                    refused.append(answer.headers["retry-after"])

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)
        began = time.monotonic()
        # "admin " is no account: it is a password that nobody has tried, so it must be really checked
        word = base64.b64encode(b"admin:never-tried-before").decode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=20, source_address=("127.0.0.2", 0)) as sock:
            sock.sendall(head_of("GET", "/v2/", f"Authorization: Basic {word}", "Connection: close"))
            answer = answer_on(sock)
        assert answer.status == 401, "checked, not turned away"
        assert time.monotonic() - began < 5
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert refused, "one address may not take the whole queue"
    assert all(seconds.isdigit() for seconds in refused)


def test_a_long_password_costs_no_more(server: Server) -> None:
    # From an address of its own: the guesses of the test before have used up what is free for one.
    with httpx.Client(base_url=server.url, transport=httpx.HTTPTransport(local_address="127.0.0.3")) as anybody:
        began = time.monotonic()
        fields = {"grant_type": "password", "username": "somebody", "password": "x" * 50_000}
        assert anybody.post("/service/token", data=fields).status_code == 401
        fields = {"grant_type": "password", "username": "a" * 50_000, "password": "x\x00\ud7ff"}
        assert anybody.post("/service/token", data=fields).status_code in {401, 413}
        assert time.monotonic() - began < 3


def test_many_scopes_are_no_lever(admin: Registry) -> None:
    scope = " ".join(f"repository:p{n}/app:pull,push" for n in range(1500))
    began = time.monotonic()
    answer = admin.http.post("/service/token", data={"scope": scope})
    assert answer.status_code in {200, 400, 413}
    assert time.monotonic() - began < 5
    answer = admin.http.post("/service/token", data={"scope": "repository:" + "a:" * 20_000 + ":pull"})
    assert answer.status_code in {200, 400, 413}


def test_a_manifest_with_a_hostile_content_type_list(admin: Registry, repository: str) -> None:
    admin.push_blob(repository, EMPTY)
    answer = admin.put_manifest(repository, "1", encoded(image()), f"{OCI_MANIFEST}, {OCI_MANIFEST}")
    assert answer.status_code in {201, 400}


def test_nothing_above_met_an_error_that_was_not_expected(server: Server) -> None:
    time.sleep(0.3)  # access records are written in batches
    told = server.log_text()
    failed = [line[:1500] for line in told.splitlines() if "Traceback" in line or '"status":500' in line]
    assert not failed, "\n".join(failed[:5])
    assert "panicked" not in told
