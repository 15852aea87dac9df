"""What `boxqueue queues` says in words: nothing where all is well, else what is wrong and what to do next."""

from typing import Any

import pytest

from cli.troubles import troubles

WELL = {
    "runtime": "pytorch", "queued": 7, "oldest_s": 90.0, "rate_per_s": 3.0, "running": 2, "late": 0, "workers": 1,
    "workers_lost": 0, "no_worker": False, "unserved": [], "outages": [], "full_up_to_priority": None, "doorbells": 1,
}  # fmt: skip
OLD = {"model": "cards", "digest": "0123456789abcdef", "current": False, "queued": 7}

OUT = {"model": "cards", "code": "server_timeout", "message": "Late.", "since": "2026-11-25T13:04Z"}


def test_nothing_where_all_is_well() -> None:
    assert troubles(WELL) == []
    assert troubles({**WELL, "queued": 0, "oldest_s": None, "rate_per_s": 0.0, "running": 0}) == []


@pytest.mark.parametrize(
    ("trouble", "what", "next_step"),
    [
        ({"workers": 0}, "no live worker", "python -m worker pytorch"),
        ({"workers": 0, "workers_lost": 2}, "2 workers were lost", "Start one"),
        ({"workers_lost": 1}, "1 worker was lost", "look at its machine"),
        ({"unserved": [OLD]}, "another version of cards (0123456789ab…)", "They get the one that it has"),
        ({"unserved": [{**OLD, "current": True}]}, "cards, which no live worker serves", "logs"),
        (
            {"outages": [OUT]},
            "of cards does not answer since 2026-11-25T13:04Z (server_timeout)",
            "by themselves",
        ),
        ({"late": 3}, "3 running jobs are past their lease", "sweep puts them back"),
        ({"late": 3, "workers": 0}, "3 running jobs are past their lease", "`boxqueue sweep`"),
        ({"rate_per_s": 0.0, "running": 0}, "live but take nothing", "`boxqueue sweep`"),
        ({"rate_per_s": 0.0, "running": 0, "doorbells": None}, "Redis does not answer", "Start it again"),
        ({"full_up_to_priority": -10}, "priority -10 and lower are answered 429", "More workers"),
    ],
)
def test_a_trouble_and_what_to_do(trouble: dict[str, Any], what: str, next_step: str) -> None:
    said = "\n".join(troubles({**WELL, **trouble}))

    assert what in said
    assert next_step in said
    assert all(sentence.startswith("pytorch: ") for sentence in said.splitlines())
