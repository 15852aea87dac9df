"""The catalogue changes while real workers run."""

import os

import pytest

from detectors.catalogue import Catalogue
from jobs.queue import worker_registry
from tests import poison
from tests.e2e.rig import GOOD, SLOW, Rig
from tests.services.waiting import wait_for

pytestmark = pytest.mark.slow


def change(rig: Rig, old: str, new: str) -> None:
    """Replaces the file as an editor does, with a whole new one."""
    (path,) = rig.settings.catalogue
    beside = path.with_suffix(".new")
    beside.write_text(path.read_text().replace(old, new))
    os.utime(beside, (path.stat().st_atime, path.stat().st_mtime - 60))
    beside.rename(path)


def digest(rig: Rig) -> str:
    return Catalogue.load(*rig.settings.catalogue).get(poison.MODEL).digest


def test_every_job_is_answered_by_one_version_while_the_model_changes(rig: Rig) -> None:
    rig.start_worker()
    first = digest(rig)
    batch, _ = rig.submit([*[GOOD] * 500, *[SLOW] * 10, *[GOOD] * 490])
    wait_for(lambda: worker_registry.queues(rig.db)[0].queued < 700, "a third of the answers")

    change(rig, '"box"', '"crate"')
    second = digest(rig)
    late, _ = rig.submit([GOOD] * 20)
    results = rig.wait_finished(batch)
    later = rig.wait_finished(late)

    assert [job.status for job in (*results, *later)] == ["succeeded"] * 1020
    labels = {(job.model_digest, found.label) for job in (*results, *later) for found in job.detections or ()}
    assert labels == {(first, "box"), (second, "crate")}
    assert {job.model_digest for job in later} == {second}
    wait_for(lambda: worker_registry.live_models(rig.db) == {(poison.MODEL, second)}, "the entry of the worker")


def test_old_and_new_processes_ignore_a_broken_catalogue(sqlite_rig: Rig) -> None:
    rig = sqlite_rig
    worker = rig.start_worker()
    change(rig, '"box"', '"crate"')
    wait_for(lambda: worker_registry.live_models(rig.db) == {(poison.MODEL, digest(rig))}, "the new version")
    good = rig.settings.catalogue[0].read_text()
    rig.wait_finished(rig.submit([GOOD])[0])
    before = set(worker.children())

    change(rig, "[poison]", "[poison")
    for child in before:
        child.kill()
    wait_for(lambda: len(set(worker.children()) - before) == len(before), "the new children")
    beside = rig.settings.catalogue[0].with_name("good.toml")
    beside.write_text(good)
    rig.settings = rig.settings.model_copy(update={"catalogue": (beside,)})  # `submit` reads it; the workers do not
    batch, _ = rig.submit([GOOD] * 8)
    results = rig.wait_finished(batch)

    assert [job.status for job in results] == ["succeeded"] * 8
    assert {found.label for job in results for found in job.detections or ()} == {"crate"}
    assert "The last valid catalogue stays in use." in rig.output
