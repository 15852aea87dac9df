"""With a database: a picture becomes a job that is accepted once, also after outages and crashes."""

import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import engine.acceptance
import engine.claim_run
import engine.leases
import serverless.database_backend
from detectors.base import Detector
from detectors.catalogue import PIPELINE_REVISION
from engine.claim_run import ClaimRun
from engine.inspection import inspect
from jobs import store
from jobs.database import Database
from jobs.errors import DatabaseUnavailable, KeyInFlight, PictureEmpty, StoreUnavailable, Unavailable
from jobs.image_store import ImageStore
from jobs.queue import claims, recovery
from jobs.queue.claims import HeldClaim, Outcome
from jobs.records import ClaimableModel, DetectionRecord, NewJob
from jobs.settings import Settings
from jobs.tables import Claim, Job, new_id
from jobs.tables import Detection as DetectionRow
from serverless.detection import Detection
from tests.fake_model_server import FakeModelServer, colour_of
from tests.faults import faulty
from tests.services.waiting import wait_for
from tests.unit.serverless.conftest import DAMAGED, MODEL, WHITE, encoded
from wire.serializers import job_json

WARM = 1
"""Pictures that warm up a model on a model server."""
EVENT = "s3://pictures/card.png"
FOUND = DetectionRecord("button", 0, 0.5, 1.0, 2.0, 3.0, 4.0)


@pytest.fixture
def settings(db: Database, database_url: str, catalogue: Path, tmp_path: Path) -> Settings:
    (tmp_path / "images").mkdir()
    return Settings(
        data=tmp_path,
        catalogue=(catalogue,),
        database_url=database_url,
        store_url=f"file://{tmp_path}/images",
    )


@pytest.fixture
def detection(settings: Settings) -> Iterator[Detection]:
    detection = Detection(settings, "remote")
    yield detection
    detection.close()


@pytest.fixture
def short_lease_detection(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Detection]:
    """Leases are shorter here than the settings allow, for tests in which a lease expires or is extended."""
    monkeypatch.setattr(serverless.database_backend, "POLL_SECONDS", 0.02)
    detection = Detection(settings.model_copy(update={"lease_seconds": 0.2}), "remote")
    yield detection
    detection.close()


def rows(db: Database, *columns: Any) -> list[tuple[Any, ...]]:
    with db.read() as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(columns[0]))]


def test_a_picture_becomes_a_job_with_its_claim_and_its_picture(
    detection: Detection, db: Database, settings: Settings
) -> None:
    job = detection.answer(WHITE, source="card.png", min_score=0.5, metadata={"page": 3})

    assert job == job_json(store.get_job(db, job["id"]))
    assert (job["status"], job["repeated"], job["deaths"]) == ("succeeded", False, 0)
    assert (job["source"], job["metadata"], job["device"]) == ("card.png", {"page": 3}, "remote")
    assert job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert set(job["timings_ms"]) == {"queued", "decode", "inference", "total"}
    assert rows(db, Claim.runtime, Claim.model, Claim.size, Claim.outcome) == [("remote", MODEL, 1, "finished")]
    assert rows(db, DetectionRow.job_id, DetectionRow.rank, DetectionRow.label) == [(job["id"], 0, "button")]
    assert ImageStore(settings.store_url).get(job["image"]["sha256"]) == WHITE


def test_a_function_claims_only_its_own_job(detection: Detection, db: Database) -> None:
    entry = detection.models.entry(None)
    picture = inspect(encoded(size=(9, 9)), max_bytes=1e6, max_pixels=1e6)
    waiting = NewJob(entry.name, entry.digest, entry.runtime, picture, priority=100)
    [others] = store.submit(db, [waiting], pipeline=PIPELINE_REVISION)

    job = detection.answer(WHITE)

    assert job["status"] == "succeeded"
    assert store.get_job(db, others.id).status == "queued"


def test_a_picture_with_a_stored_answer_does_not_run_the_model(
    detection: Detection, db: Database, server: FakeModelServer
) -> None:
    first = detection.answer(WHITE)
    second = detection.answer(WHITE)

    assert second["id"] != first["id"]
    assert (second["repeated"], second["detections"]) == (True, first["detections"])
    assert server.answered == WARM + 1
    assert len(rows(db, Claim.id)) == 1


def test_a_repeated_event_makes_no_second_job(detection: Detection, db: Database, server: FakeModelServer) -> None:
    first = detection.answer(WHITE, event=EVENT)
    second = detection.answer(WHITE, event=EVENT)
    other = detection.answer(WHITE, event="s3://pictures/other.png")

    assert second == first
    assert (other["id"] != first["id"], other["repeated"]) == (True, True)
    assert len(rows(db, Job.id)) == 2
    assert server.answered == WARM + 1


def test_an_event_that_another_process_accepts_raises_unavailable(
    detection: Detection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_flight(*_: object) -> None:
        raise KeyInFlight("accepted by another function")

    with monkeypatch.context() as patch:
        patch.setattr(engine.acceptance, "reserve_key", in_flight)
        with pytest.raises(Unavailable, match="Another process accepts this event"):
            detection.answer(WHITE, event=EVENT)

    assert detection.answer(WHITE, event=EVENT)["status"] == "succeeded"


def test_an_event_is_accepted_again_after_an_outage_of_the_image_store(
    detection: Detection, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*_: object) -> None:
        raise StoreUnavailable("The image store can't be written.")

    with monkeypatch.context() as patch:
        patch.setattr(ImageStore, "put_many", put)
        with pytest.raises(StoreUnavailable):
            detection.answer(WHITE, event=EVENT)
    assert rows(db, Job.id) == []

    assert detection.answer(WHITE, event=EVENT)["status"] == "succeeded"


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"", "picture_empty"), (b"hello", "picture_unknown_format"), (DAMAGED, "picture_undecodable")],
    ids=["empty", "text", "damaged"],
)
def test_a_broken_picture_of_an_event_is_a_job_that_failed(
    detection: Detection, db: Database, data: bytes, code: str
) -> None:
    job = detection.answer(data, source="a.png", event=EVENT)

    assert (job["status"], job["error"]["code"], job["detections"]) == ("failed", code, None)
    assert job == job_json(store.get_job(db, job["id"]))
    assert detection.answer(data, source="a.png", event=EVENT)["id"] == job["id"]


def test_a_broken_picture_of_a_request_is_refused(detection: Detection, db: Database) -> None:
    with pytest.raises(PictureEmpty):
        detection.answer(b"")

    assert rows(db, Job.id) == []


def test_a_job_of_a_model_outage_is_run_at_the_next_delivery(
    detection: Detection, db: Database, server: FakeModelServer
) -> None:
    server.stop()
    with pytest.raises(Unavailable) as raised:
        detection.answer(WHITE, event=EVENT)
    assert raised.value.code == "server_unreachable"
    [(job_id, status, deaths_)] = rows(db, Job.id, Job.status, Job.deaths)
    assert (status, deaths_) == ("queued", 0)

    server.start()
    job = detection.answer(WHITE, event=EVENT)

    assert (job["id"], job["status"]) == (job_id, "succeeded")
    assert sorted(outcome for _, outcome in rows(db, Claim.id, Claim.outcome)) == ["finished", "given_back"]


def test_a_picture_that_keeps_crashing_its_model_server_fails(detection: Detection, db: Database) -> None:
    poison = encoded(colour_of("reset"))

    # At first other pictures might be the cause. Then the picture is alone on the model server.
    for _ in range(1 + recovery.MAX_ABSENCES):
        with pytest.raises(Unavailable):
            detection.answer(poison, event=EVENT)
    job = detection.answer(poison, event=EVENT)

    assert (job["status"], job["error"]["code"]) == ("failed", "server_unreachable")
    assert detection.answer(WHITE)["status"] == "succeeded"


class Killed(BaseException):
    """Ends a function in the middle of its work."""


def stop_in_the_model(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def outcomes(*_: object) -> list[Outcome]:
        raise error

    monkeypatch.setattr(ClaimRun, "outcomes", outcomes)


def test_a_job_of_a_killed_function_is_run_at_the_next_delivery(
    short_lease_detection: Detection, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_in_the_model(patch, Killed())
        with pytest.raises(Killed):
            short_lease_detection.answer(WHITE, event=EVENT)
    [(job_id, status)] = rows(db, Job.id, Job.status)
    assert status == "running"

    job = short_lease_detection.answer(WHITE, event=EVENT)

    assert (job["id"], job["status"], job["deaths"]) == (job_id, "succeeded", 0)
    assert rows(db, Job.id, Job.absences) == [(job_id, 1)]


def test_a_job_fails_after_errors_of_the_function(detection: Detection, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_in_the_model(monkeypatch, RuntimeError("a bug"))

    for _ in range(recovery.MAX_CRASHES):
        with pytest.raises(RuntimeError):
            detection.answer(WHITE, event=EVENT)
    job = detection.answer(WHITE, event=EVENT)

    assert (job["status"], job["error"]["code"]) == ("failed", "worker_lost")


def test_a_slow_model_keeps_its_lease(short_lease_detection: Detection, db: Database, server: FakeModelServer) -> None:
    infer, over = server.infer, threading.Event()
    server.infer = lambda pictures: infer(pictures) if over.wait(60) else {}  # type: ignore[method-assign]
    answers: list[dict[str, Any]] = []
    working = threading.Thread(target=lambda: answers.append(short_lease_detection.answer(WHITE)))
    working.start()

    wait_for(lambda: rows(db, Claim.id), "the claim")
    for _ in range(2):
        before = rows(db, Claim.expires_at)
        wait_for(lambda before=before: rows(db, Claim.expires_at) > before, "a longer lease")  # type: ignore[misc]
    over.set()
    working.join()

    assert answers[0]["status"] == "succeeded"
    assert [outcome for _, outcome in rows(db, Claim.id, Claim.outcome)] == ["finished"]


def test_a_lease_survives_a_heartbeat_that_the_database_missed(
    short_lease_detection: Detection, db: Database, server: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats: list[str] = []

    def heartbeat(*arguments: Any) -> Any:
        beats.append("missed" if not beats else "made")
        if beats == ["missed"]:
            raise DatabaseUnavailable("gone")
        return claims.extend_leases(*arguments)

    monkeypatch.setattr(engine.leases, "extend_leases", heartbeat)
    infer = server.infer

    def infer_late(pictures: Any) -> Any:
        wait_for(lambda: "made" in beats, "a heartbeat after the outage")
        return infer(pictures)

    server.infer = infer_late  # type: ignore[method-assign]

    assert short_lease_detection.answer(WHITE)["status"] == "succeeded"


def leave_queued(detection: Detection, server: FakeModelServer) -> None:
    """The first delivery of the event ends early."""
    server.stop()
    with pytest.raises(Unavailable):
        detection.answer(WHITE, event=EVENT)
    server.start()


def claim_as_worker(detection: Detection, db: Database) -> HeldClaim:
    """Claims the jobs as a worker does."""
    models = {MODEL: ClaimableModel(detection.models.entry(None).digest, 8)}
    held = claims.claim(db, "remote", models, worker_id=new_id(), task_id=new_id(), lease_seconds=60)
    assert held
    return held


def test_a_job_that_a_worker_has_taken_is_waited_for(
    settings: Settings, db: Database, server: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    detection = Detection(settings.model_copy(update={"lease_seconds": 30}), "remote")
    leave_queued(detection, server)
    held = claim_as_worker(detection, db)

    def claim(*arguments: Any, **named: Any) -> HeldClaim | None:
        """The worker finishes after the function has found nothing to claim."""
        claimed = claims.claim(*arguments, **named)
        claims.finish(db, held, [Outcome(held.jobs[0].id, [FOUND])], device="cuda:0")
        return claimed

    monkeypatch.setattr(serverless.database_backend, "claim", claim)
    monkeypatch.setattr(serverless.database_backend, "POLL_SECONDS", 0.02)

    job = detection.answer(WHITE, event=EVENT)

    assert (job["status"], job["device"], job["detections"][0]["score"]) == ("succeeded", "cuda:0", 0.5)
    assert server.answered == 0
    detection.close()


def test_a_job_that_another_process_holds_too_long_raises_unavailable(
    short_lease_detection: Detection, db: Database, server: FakeModelServer
) -> None:
    leave_queued(short_lease_detection, server)
    held = claim_as_worker(short_lease_detection, db)

    with pytest.raises(Unavailable, match=f"Job {held.jobs[0].id} is running in another process"):
        short_lease_detection.answer(WHITE, event=EVENT)


def test_the_answer_of_a_cancelled_job_is_not_written(
    detection: Detection, db: Database, server: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = ClaimRun.outcomes

    def outcomes_of_a_cancelled_job(run: ClaimRun, detector: Detector) -> list[Outcome]:
        [(job_id,)] = rows(db, Job.id)
        store.cancel_job(db, job_id)
        return outcomes(run, detector)

    monkeypatch.setattr(ClaimRun, "outcomes", outcomes_of_a_cancelled_job)

    job = detection.answer(WHITE)

    assert (job["status"], job["detections"]) == ("cancelled", None)
    assert rows(db, DetectionRow.job_id) == []


def test_a_job_for_an_old_model_version_gets_the_current_one(
    detection: Detection, settings: Settings, catalogue: Path, server: FakeModelServer
) -> None:
    leave_queued(detection, server)
    catalogue.write_text(catalogue.read_text().replace('labels = ["button"]', 'labels = ["actionset"]'))
    replaced = Detection(settings, "remote")

    job = replaced.answer(WHITE, event=EVENT)

    assert (job["status"], job["detections"][0]["label"]) == ("succeeded", "actionset")
    assert job["model_digest"] == replaced.models.entry(None).digest
    replaced.close()


def test_an_object_that_was_replaced_does_not_answer_for_the_accepted_picture(
    detection: Detection, server: FakeModelServer
) -> None:
    leave_queued(detection, server)

    job = detection.answer(encoded(colour_of("NaN")), event=EVENT)

    assert (job["status"], job["image"]["sha256"]) == ("succeeded", sha256(WHITE).hexdigest())


def test_a_replaced_picture_that_is_missing_fails_the_job(
    detection: Detection, settings: Settings, server: FakeModelServer
) -> None:
    leave_queued(detection, server)
    ImageStore(settings.store_url).delete(sha256(WHITE).hexdigest())
    ImageStore(settings.store_url).put(b"", "another")

    job = detection.answer(DAMAGED, event=EVENT)

    assert (job["status"], job["error"]["code"]) == ("failed", "picture_missing")


def test_writing_an_answer_is_retried_if_the_database_is_out(
    detection: Detection, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = [DatabaseUnavailable("gone"), DatabaseUnavailable("gone")]
    monkeypatch.setattr(engine.claim_run, "finish", faulty(claims.finish, *outage))
    monkeypatch.setattr(engine.claim_run, "PAUSES_SECONDS", (0.01,))

    assert detection.answer(WHITE)["status"] == "succeeded"
