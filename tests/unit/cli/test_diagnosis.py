"""The sentences of `boxqueue queues`: none if all is well, otherwise what is wrong and what to do next."""

from typing import Any

import pytest

from cli.diagnosis import diagnose

WELL = {
    "runtime": "pytorch", "queued": 7, "oldest_s": 90.0, "rate_per_s": 3.0, "running": 2, "late": 0, "workers": 1,
    "workers_lost": 0, "no_worker": False, "unserved": [], "outages": [], "full_up_to_priority": None, "doorbells": 1,
}  # fmt: skip
OLD = {"model": "cards", "digest": "0123456789abcdef", "current": False, "queued": 7}

OUT = {"model": "cards", "code": "server_timeout", "message": "Late.", "since": "2026-11-25T13:04Z"}


def test_a_healthy_service_has_no_diagnosis() -> None:
    assert diagnose(WELL) == []
    assert diagnose({**WELL, "queued": 0, "oldest_s": None, "rate_per_s": 0.0, "running": 0}) == []


@pytest.mark.parametrize(
    ("problem", "what", "next_step"),
    [
        ({"workers": 0}, "no live worker", "python -m worker pytorch"),
        ({"workers": 0, "workers_lost": 2}, "2 workers were lost", "Start one"),
        ({"workers_lost": 1}, "1 worker was lost", "look at its machine"),
        ({"unserved": [OLD]}, "version 0123456789ab… of cards", "They run with the catalogue's version"),
        ({"unserved": [{**OLD, "current": True}]}, "cards, which no live worker serves", "logs"),
        (
            {"outages": [OUT]},
            "of cards has not answered since 2026-11-25T13:04Z (server_timeout)",
            "without your help",
        ),
        ({"late": 3}, "3 running jobs are past their lease", "sweep requeues them"),
        ({"late": 3, "workers": 0}, "3 running jobs are past their lease", "`boxqueue sweep`"),
        ({"rate_per_s": 0.0, "running": 0}, "live but take no jobs", "`boxqueue sweep`"),
        ({"rate_per_s": 0.0, "running": 0, "doorbells": None}, "Redis does not answer", "Start Redis again"),
        ({"full_up_to_priority": -10}, "priority -10 and lower are refused with 429", "More workers"),
    ],
)
def test_a_diagnosis_says_what_is_wrong_and_what_to_do(problem: dict[str, Any], what: str, next_step: str) -> None:
    sentences = "\n".join(diagnose({**WELL, **problem}))

    assert what in sentences
    assert next_step in sentences
    assert all(sentence.startswith("pytorch: ") for sentence in sentences.splitlines())
