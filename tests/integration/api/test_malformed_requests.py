"""Requests and bodies that HTTP libraries do not send: malformed chunks, bodies that end early, headers of no use."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.api.test_server import LIMIT_MB, Server, body_of
from tests.services.redis import RedisServer
from tests.unit.api.conftest import MODEL, encoded

PNG = encoded()
RAW = f"POST /v1/jobs?model={MODEL} HTTP/1.1\r\nHost: here\r\nContent-Type: image/png\r\n".encode()
CHUNKED = RAW + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = b"%x\r\n%b\r\n" % (len(PNG), PNG)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("api"), redis_server.url) as server:
        yield server


def jobs(server: Server) -> int:
    return len(httpx.get(f"{server.url}/v1/jobs?limit=200").json()["jobs"])


def refused(server: Server, request: bytes) -> tuple[str, str]:
    """The status and the code of the refusal of a request, after which the client sends nothing more."""
    with server.connect() as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        status, problem = body_of(connection)
        assert connection.recv(1) == b""
    assert problem["detail"]
    return status.split(" ")[1], str(problem["code"])


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(b"zz\r\n" + PNG, id="a size that is no number"),
        pytest.param(b"-5\r\nabcde\r\n0\r\n\r\n", id="a negative size"),
        pytest.param(b"0x5\r\nabcde\r\n0\r\n\r\n", id="a size with a prefix"),
        pytest.param(b"\r\nabcde\r\n0\r\n\r\n", id="no size"),
        pytest.param(b"5\nabcde\n0\n\n" * 9000, id="line feeds alone"),
        pytest.param(b"5\r\nabcdefg\r\n0\r\n\r\n", id="a chunk longer than its size"),
        pytest.param(WHOLE[:-2] + b"0\r\n\r\n", id="no line break after a chunk"),
        pytest.param(WHOLE + b"0\r\nnonsense\r\n\r\n", id="a trailer that is no header"),
        pytest.param(WHOLE + b"5;\x00=\r\nabcde\r\n0\r\n\r\n", id="an extension of control characters"),
        pytest.param(WHOLE + b"garbage", id="garbage after a chunk"),
        pytest.param(WHOLE + b"0\r\n", id="no end after the last chunk"),
    ],
)
def test_malformed_chunks_are_refused(server: Server, chunks: bytes) -> None:
    before = jobs(server)

    answer = refused(server, CHUNKED + chunks)

    assert answer in [("400", "malformed_chunks"), ("400", "incomplete_body")]
    assert jobs(server) == before
    assert "Traceback" not in server.output


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(CHUNKED + WHOLE, id="no last chunk"),
        pytest.param(CHUNKED + WHOLE[:50], id="the middle of a chunk"),
        pytest.param(CHUNKED + b"5", id="the middle of a size"),
        pytest.param(RAW + b"Content-Length: %d\r\n\r\n" % (len(PNG) + 1) + PNG, id="fewer bytes than Content-Length"),
        pytest.param(RAW + b"Content-Length: 900000\r\n\r\n", id="none of the bytes of Content-Length"),
    ],
)
def test_a_body_that_is_cut_off_makes_no_job(server: Server, request_: bytes) -> None:
    before = jobs(server)

    assert refused(server, request_) == ("400", "incomplete_body")
    assert jobs(server) == before


def test_a_client_that_sends_on_after_malformed_chunks_gets_the_refusal(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(CHUNKED + b"zz\r\n")
        connection.sendall(b"x" * 20 * LIMIT_MB * 1_000_000)

        status, problem = body_of(connection)

    assert (status.split(" ")[1], problem["code"]) == ("400", "malformed_chunks")


def test_malformed_chunks_after_another_refusal_leave_no_trace(server: Server) -> None:
    wrong_batch = CHUNKED.replace(b"/v1/jobs?", b"/v1/batches/17/jobs?")

    assert refused(server, wrong_batch + b"zz\r\n") == ("404", "not_found")
    assert "Traceback" not in server.output


def test_a_picture_in_chunks_is_accepted(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(CHUNKED + WHOLE + b"0\r\n\r\n")

        status, job = body_of(connection)

    assert (status.split(" ")[1], job["model"]) == ("202", MODEL)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        pytest.param(b"nonsense\r\n\r\n", "400", "malformed_request", id="no HTTP"),
        pytest.param(RAW + b"Content-Length: -1\r\n\r\n", "400", "malformed_request", id="a negative length"),
        pytest.param(RAW + b"Content-Length: 5x\r\n\r\n", "400", "malformed_request", id="a length that is no number"),
        pytest.param(
            RAW + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", "400", "malformed_request", id="two lengths"
        ),
        pytest.param(
            RAW + b"Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nabcde",
            "400",
            "malformed_request",
            id="two types",
        ),
        pytest.param(
            RAW + b"Transfer-Encoding: br, chunked\r\n\r\n",
            "501",
            "unsupported_transfer_encoding",
            id="compressed chunks",
        ),
        pytest.param(
            RAW + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "501",
            "unsupported_transfer_encoding",
            id="gzip in chunks",
        ),
        pytest.param(RAW + b"Expect: a miracle\r\n\r\n", "417", "expectation_failed", id="an unknown expectation"),
        pytest.param(RAW + b"X: " + b"x" * 9000 + b"\r\n\r\n", "431", "headers_too_large", id="a long header"),
        pytest.param(
            b"POST /v1/jobs?metadata=" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n",
            "414",
            "address_too_long",
            id="a long query",
        ),
    ],
)
def test_what_is_no_http_request_gets_a_problem_document(
    server: Server, request_: bytes, status: str, code: str
) -> None:
    assert refused(server, request_) == (status, code)
