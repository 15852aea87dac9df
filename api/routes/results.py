"""`/v1/batches/{id}/results`: the results of a batch, as a stream."""

import json
from collections.abc import Iterator
from itertools import chain
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from api.openapi import BATCHES, responses, stream
from api.schemas import BatchPath, ResultsQuery
from api.service import service
from jobs.batches import get_batch
from jobs.records import JobRecord
from jobs.store import batch_results
from wire.serializers import job_json

results = APIBlueprint("results", __name__, url_prefix="/v1/batches", abp_tags=[BATCHES])

JSON_LINES = "application/x-ndjson"
# Lines are written in groups, because a write to the socket costs more than making a line.
_LINES_PER_WRITE = 100


@results.get(
    "/<batch_id>/results",
    summary="Download the results of a batch",
    operation_id="getResults",
    responses=responses(
        {200: stream([JSON_LINES], "One job per line, in the order in which they were submitted.")}, (404, 503)
    ),
)
def show_results(path: BatchPath, query: ResultsQuery) -> Any:  # noqa: ARG001 - its schema refuses other formats
    """The jobs that have their answer now, failed and cancelled jobs included.

    If an outage interrupts the stream, it ends without its last chunk, and HTTP libraries report an error.
    """
    get_batch(service().db, path.batch_id)
    found = batch_results(service().db, path.batch_id)
    # The first job is read before the response begins, so that an outage still becomes a 503.
    first = next(found, None)
    return Response(_lines(found if first is None else chain([first], found)), mimetype=JSON_LINES)


def _lines(found: Iterator[JobRecord]) -> Iterator[str]:
    lines = []
    for job in found:
        lines.append(json.dumps(job_json(job), ensure_ascii=False, separators=(",", ":")) + "\n")
        if len(lines) == _LINES_PER_WRITE:
            yield "".join(lines)
            lines.clear()
    yield "".join(lines)
