"""Detections in the database: written with an answer, copied for a repeated one, read with a job."""

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from jobs.records import DetectionRecord
from jobs.tables import Detection

_COLUMNS = ("label", "class_id", "score", "x1", "y1", "x2", "y2")
_INSERT = f"INSERT INTO detections (job_id, rank, {', '.join(_COLUMNS)}) VALUES ({{}})"  # noqa: S608 - constants


def insert_detections(connection: Connection, found: Mapping[str, Sequence[DetectionRecord]]) -> None:
    """Writes the detections of jobs, by the id of the job, each job's in the order of the scores."""
    rows = [
        (job_id, rank, *(getattr(detection, column) for column in _COLUMNS))
        for job_id, detections in found.items()
        for rank, detection in enumerate(detections)
    ]
    if rows:
        # Directly through the driver: for a hundred rows a picture SQLAlchemy takes longer than the database.
        place = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        connection.exec_driver_sql(_INSERT.format(", ".join([place] * len(rows[0]))), rows)


def copy_detections(connection: Connection, answered_by: str, job_id: str) -> None:
    """Copies the detections of one job to another."""
    columns = [column for column in Detection.__table__.c if column.name != "job_id"]
    connection.execute(
        sa.insert(Detection).from_select(
            ["job_id", *(column.name for column in columns)],
            sa.select(sa.literal(job_id, Detection.job_id.type), *columns).where(Detection.job_id == answered_by),
        )
    )


def read_detections(connection: Connection, job_ids: Collection[str]) -> dict[str, list[DetectionRecord]]:
    """The detections of each of the jobs, the highest score first."""
    found: dict[str, list[DetectionRecord]] = {job_id: [] for job_id in job_ids}
    if found:
        table = Detection.__table__.c
        for job_id, *values in connection.execute(
            sa.select(table.job_id, *(table[column] for column in _COLUMNS))
            .where(table.job_id.in_(found))
            .order_by(table.job_id, table.rank)
        ):
            found[job_id].append(DetectionRecord(*values))
    return found
