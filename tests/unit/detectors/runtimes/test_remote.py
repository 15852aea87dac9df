"""A model on a server: both protocols, against a server that fails on demand."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

import detectors.runtimes.remote.connection
from detectors.catalogue import ModelEntry
from detectors.errors import (
    DetectionFailed,
    DetectorError,
    ModelUnavailable,
    ServerOutage,
    ServerTimeout,
    ServerUnreachable,
)
from detectors.runtimes.remote.connection import Connection
from detectors.runtimes.remote.detector import RemoteDetector
from tests.fake_model_server import BOX, FAULTS, SIZE, SLOW_SECONDS, STATUSES, FakeModelServer, colour_of

FORMATS = ("oip", "oip in bytes", "tf_serving", "tf_serving in files")
TIMEOUT_S = 2.0
LATE = ("slow", "drip")
# Faults that do not depend on the format of an answer.
TRANSPORT = (*LATE, "reset", *STATUSES)
CODES = {
    "slow": "server_timeout",
    "drip": "server_timeout",
    "reset": "server_unreachable",
    "truncated": "server_unreachable",
    "400": "server_refused",
    "404": "server_refused",
    "429": "server_unavailable",
    "500": "server_failed",
    "502": "server_unavailable",
    "503": "server_unavailable",
    "504": "server_unavailable",
    "redirect": "server_answer_invalid",
    "not JSON": "server_answer_invalid",
    "no outputs": "server_answer_invalid",
    "a list": "server_answer_invalid",
    "false shape": "server_answer_invalid",
    "no scores": "server_answer_invalid",
    "words": "server_answer_invalid",
    "NaN": "detection_failed",
    "three corners": "detection_failed",
    "a box too few": "detection_failed",
    "a picture too few": "detection_failed",
    "a picture too many": "detection_failed",
}
WHITE = np.full((SIZE, SIZE, 3), 255, np.uint8)

pytestmark = pytest.mark.usefixtures("short_pauses")


Make = Callable[..., RemoteDetector]


@pytest.fixture
def detector(server: FakeModelServer) -> Iterator[Make]:
    made: list[RemoteDetector] = []

    def make(kind: str, of: ModelEntry | None = None, **changes: Any) -> RemoteDetector:
        server.binary = kind.endswith("bytes")
        made.append(RemoteDetector(of or entry(server, kind, **changes), device="remote", threads=1))
        return made[-1]

    yield make
    for one in made:
        one.close()


def entry(server: FakeModelServer, kind: str, **changes: Any) -> ModelEntry:
    kind, _, how = kind.partition(" in ")
    server_table = {"url": server.url, "model": "cards", "timeout_s": 10, **changes}
    if how == "files":
        server_table["encoding"] = "png"
    return ModelEntry.model_validate(
        {
            "name": "distant", "runtime": "remote", "format": kind, "server": server_table, "labels": ("button",),
            "batch_size": 4,
            "input": {"name": "image", "width": SIZE, "height": SIZE, "layout": "NHWC", "dtype": "uint8"},
            "output": {"boxes": "boxes", "scores": "scores", "classes": "classes"},
        }
    )  # fmt: skip


def picture(fault: str) -> np.ndarray:
    return np.full((SIZE, SIZE, 3), colour_of(fault), np.uint8)


@pytest.mark.parametrize("kind", FORMATS)
def test_detections_of_the_server_are_returned(server: FakeModelServer, detector: Make, kind: str) -> None:
    found = detector(kind).detect([WHITE] * 3)

    assert [one.boxes.tolist() for one in found] == [[BOX]] * 3
    assert [one.scores.tolist() for one in found] == [pytest.approx([0.9])] * 3


def test_every_fault_has_its_code() -> None:
    assert set(CODES) == set(FAULTS)


@pytest.mark.parametrize(
    ("fault", "kind"), [(fault, kind) for fault in FAULTS for kind in (FORMATS[::2] if fault in TRANSPORT else FORMATS)]
)
def test_a_picture_that_the_server_fails_has_a_code_and_the_others_their_boxes(
    detector: Make, kind: str, fault: str
) -> None:
    model = detector(kind, timeout_s=TIMEOUT_S if fault in LATE else 10)

    with pytest.raises(DetectorError) as caught:
        model.detect([picture(fault)])

    assert not isinstance(caught.value, ModelUnavailable)
    assert caught.value.code == CODES[fault]
    assert "\0" not in str(caught.value)
    assert len(model.detect([WHITE])[0].scores) == 1


@pytest.mark.parametrize("kind", ["oip", "tf_serving"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_on_every_picture_counts_as_an_outage(
    server: FakeModelServer, detector: Make, kind: str, fault: str
) -> None:
    model = detector(kind, timeout_s=TIMEOUT_S if fault in LATE else 10)
    server.fault = fault

    with pytest.raises(ModelUnavailable) as caught:
        model.detect([WHITE, WHITE])

    assert caught.value.code == CODES[fault]
    server.fault = None
    assert len(model.detect([WHITE])[0].scores) == 1


@pytest.mark.parametrize("kind", ["oip", "tf_serving"])
def test_a_stopped_server_makes_no_suspect_and_may_return(server: FakeModelServer, detector: Make, kind: str) -> None:
    model = detector(kind)
    model.detect([WHITE])
    server.stop()

    with pytest.raises(ModelUnavailable) as caught:
        model.detect([WHITE])

    assert (caught.value.code, caught.value.suspicion) == ("server_unreachable", None)
    server.start()
    assert len(model.detect([WHITE])[0].scores) == 1


def test_a_failure_while_a_version_is_being_loaded_counts_as_an_outage(server: FakeModelServer, detector: Make) -> None:
    server.state = "LOADING"

    with pytest.raises(ModelUnavailable, match="is not ready: LOADING") as caught:
        detector("tf_serving").detect([picture("500")])

    assert caught.value.code == "server_unavailable"


@pytest.mark.parametrize("kind", ["oip", "tf_serving"])
def test_the_picture_that_a_server_crashed_on_is_a_suspect(server: FakeModelServer, detector: Make, kind: str) -> None:
    model = detector(kind)
    model.detect([WHITE])

    def die(pictures: np.ndarray) -> str:
        threading.Thread(target=server.stop).start()
        return "reset"

    server.fault_of = die  # type: ignore[method-assign]
    with pytest.raises(ModelUnavailable) as caught:
        model.detect([WHITE])

    # The last request could not be sent.
    assert caught.value.code == "server_unreachable"
    assert "broke off" in str(caught.value.suspicion)


def test_an_outage_after_a_failed_picture_reports_both_errors(server: FakeModelServer, detector: Make) -> None:
    model = detector("oip")

    def fail_and_start_anew(pictures: np.ndarray) -> str:
        server.fault_of = lambda _: "503"  # type: ignore[method-assign]
        return "500"

    server.fault_of = fail_and_start_anew  # type: ignore[method-assign]
    with pytest.raises(ModelUnavailable) as caught:
        model.detect([WHITE])

    assert caught.value.code == "server_unavailable"
    assert getattr(caught.value.suspicion, "code", None) == "server_failed"


REFUSED, LATE_TO_CONNECT = ServerUnreachable("refused", sent=False), ServerTimeout("no time left", sent=False)
BROKE_OFF, NO_ANSWER = ServerUnreachable("broke off"), ServerTimeout("no answer")


@pytest.mark.parametrize(
    ("faults", "raised"),
    [
        ((REFUSED, LATE_TO_CONNECT), REFUSED),
        ((REFUSED, NO_ANSWER), NO_ANSWER),
        ((BROKE_OFF, REFUSED, LATE_TO_CONNECT), BROKE_OFF),
        ((BROKE_OFF, NO_ANSWER), BROKE_OFF),
        ((REFUSED, BROKE_OFF, REFUSED, REFUSED), BROKE_OFF),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_the_most_informative_error_of_all_attempts_is_raised(
    server: FakeModelServer, monkeypatch: pytest.MonkeyPatch, faults: tuple[ServerOutage, ...], raised: ServerOutage
) -> None:
    connection = Connection(entry(server, "oip").server)  # type: ignore[arg-type]
    monkeypatch.setattr(detectors.runtimes.remote.connection, "PAUSES_SECONDS", (0.01, 0.01, 0.01))
    monkeypatch.setattr(connection, "_request_once", Mock(side_effect=faults))

    with pytest.raises(ServerOutage) as caught:
        connection.get("/v2")

    assert caught.value is raised


def test_a_timeout_is_not_retried(server: FakeModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection(entry(server, "oip").server)  # type: ignore[arg-type]
    request_once = Mock(side_effect=[NO_ANSWER, BROKE_OFF])
    monkeypatch.setattr(connection, "_request_once", request_once)

    with pytest.raises(ServerTimeout):
        connection.get("/v2")

    assert request_once.call_count == 1


@pytest.mark.parametrize("fault", ["reset", "truncated", "slow", "503"])
def test_an_error_without_an_answer_says_that_the_picture_was_sent(detector: Make, fault: str) -> None:
    with pytest.raises(ServerOutage) as caught:
        detector("oip", timeout_s=TIMEOUT_S if fault in LATE else 10).detect([picture(fault)])

    assert caught.value.sent


def test_a_short_outage_is_hidden_by_retries(server: FakeModelServer, detector: Make) -> None:
    model = detector("oip")
    answer = server.fault_of
    faults = iter(["503", "reset"])
    server.fault_of = lambda pictures: next(faults, answer(pictures))  # type: ignore[method-assign]

    assert len(model.detect([WHITE])[0].scores) == 1


@pytest.mark.parametrize("fault", LATE)
def test_a_request_ends_at_its_timeout(server: FakeModelServer, detector: Make, fault: str) -> None:
    model = detector("oip", timeout_s=TIMEOUT_S)
    started = time.monotonic()

    with pytest.raises(DetectorError):
        model.detect([picture(fault)])

    assert time.monotonic() - started < SLOW_SECONDS / 2


@pytest.mark.parametrize("kind", ["oip", "tf_serving"])
def test_the_configured_version_is_requested_and_an_unknown_one_is_an_error(
    server: FakeModelServer, detector: Make, kind: str
) -> None:
    assert len(detector(kind, version="1").detect([WHITE])[0].scores) == 1
    assert any("/versions/1" in path for path in server.requests)

    with pytest.raises(ModelUnavailable, match="Servable not found") as caught:
        detector(kind, version="7").detect([WHITE])

    assert caught.value.code == "server_refused"


def test_requests_run_concurrently_up_to_the_limit_over_kept_connections(
    server: FakeModelServer, detector: Make
) -> None:
    model = detector("oip", request_size=1, requests=2)
    server.wait_s = 0.05

    for _ in range(3):
        assert len(model.detect([WHITE] * 4)) == 4

    assert server.most_at_once == 2
    assert server.requests.count("/v2/models/cards/infer") == 12
    assert len(server.connections) == 2


def test_answers_keep_the_order_of_the_pictures(server: FakeModelServer, detector: Make) -> None:
    model = detector("tf_serving", request_size=1)

    found = model.detect([np.zeros((side, side, 3), np.uint8) for side in (16, 32, 64, 128)])

    assert [one.boxes[0, 0] for one in found] == [4, 8, 16, 32]


def test_answers_with_a_wrong_number_of_pictures_are_a_failure(detector: Make) -> None:
    model = detector("oip", request_size=1)

    # The two requests have two answers in all, but not one each.
    with pytest.raises(DetectionFailed, match="answered for"):
        model.detect([picture("a picture too many"), picture("a picture too few")])


def test_a_picture_in_its_own_size_is_sent_alone(server: FakeModelServer, detector: Make) -> None:
    own_size = entry(server, "oip")
    own_size = own_size.model_copy(update={"input": own_size.input.model_copy(update={"resize": "none"})})
    model = detector("oip", of=own_size)

    found = model.detect([np.zeros((20, 30, 3), np.uint8), np.zeros((30, 20, 3), np.uint8)])

    assert [one.boxes[0].tolist() for one in found] == [[8, 8, 24, 20], [8, 8, 20, 24]]
    assert server.requests.count("/v2/models/cards/infer") == 2


def test_nothing_found_is_an_empty_answer(server: FakeModelServer, detector: Make) -> None:
    nothing = {"boxes": np.zeros((1, 0, 4), np.float32), "scores": np.zeros((1, 0)), "classes": np.zeros((1, 0), int)}
    server.infer = lambda _: nothing  # type: ignore[method-assign]

    for kind in FORMATS:
        (found,) = detector(kind).detect([WHITE])
        assert found.boxes.shape == (0, 4)
