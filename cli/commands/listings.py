"""The commands that show what the service has: jobs, batches, models, queues."""

from collections.abc import Iterable, Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from cli.answers import answer_of
from cli.client import ServiceClient
from cli.terminal import output, print_json
from cli.troubles import troubles

PAGE = 100


def show_job(client: ServiceClient, job_id: str, as_json: bool) -> None:
    job = client.get(f"/v1/jobs/{job_id}")
    if as_json:
        print_json(job)
        return
    facts = ["id", "status", "model", "source", "batch_id", "priority", "deaths", "device"]
    facts += ["created_at", "started_at", "finished_at"]
    rows: dict[str, Any] = {name: job[name] for name in facts}
    if job["error"]:
        rows["error"] = f"{job['error']['code']}: {job['error']['message']}"
    if job["timings_ms"]:
        rows["ms"] = ", ".join(f"{part} {value}" for part, value in job["timings_ms"].items())
    output().print(_facts(rows))
    if job["detections"] is not None:
        _show_found(job["detections"])


def show_jobs(client: ServiceClient, filters: dict[str, str | None], limit: int, as_json: bool) -> None:
    jobs = list(_jobs(client, filters, limit))
    if as_json:
        print_json(jobs)
        return
    rows = []
    for job in jobs:
        answer = answer_of(job)
        boxes = "" if job["detections"] is None else answer.boxes
        rows.append((job["id"], job["status"], job["model"], answer.source, boxes, answer.error or answer.best))
    output().print(_table(["job", "status", "model", "picture", "boxes", "best labels, or the error"], rows))


def show_batch(shown: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(shown)
        return
    names = ["id", "name", "status", "total", "pending", "succeeded", "failed", "cancelled", "rate_per_s", "eta_s"]
    names += ["created_at", "closed_at", "cancelled_at", "finished_at"]
    output().print(_facts({name: shown[name] for name in names}))


def show_models(client: ServiceClient, as_json: bool) -> None:
    models = client.get("/v1/models")["models"]
    if as_json:
        print_json(models)
        return
    rows = [
        (
            model["name"],
            ", ".join(model["aliases"]),
            model["runtime"],
            model["format"],
            "yes" if model["available"] else "no",
            model["licence"],
            ", ".join(model["labels"]),
        )
        for model in models
    ]
    output().print(_table(["model", "aliases", "runtime", "format", "available", "licence", "labels"], rows))


def show_check(found: dict[str, Any]) -> None:
    """What a model takes, gives, finds and costs."""
    outputs = "; ".join(f"{name} {shape}" for name, shape in found["outputs"].items())
    rows = {name: found[name] for name in ("model", "runtime", "format", "file", "digest")}
    rows["device"] = f"{found['device']}, {found['threads']} threads" if found["threads"] > 1 else found["device"]
    rows |= {
        "input": found["input"],
        "outputs": outputs,
        "loading": f"{found['load_ms'] / 1000:.1f} s, first pictures {found['warm_up_ms'] / 1000:.1f} s",
        "ms a picture": f"{found['alone_ms']} alone, {found['batch_ms']} in batches of {found['batch_size']}",
    }
    output().print(_facts(rows))
    if found["detections"] is not None:
        _show_found(found["detections"])


def show_queues(client: ServiceClient, as_json: bool) -> None:
    queues = client.get("/v1/queues")["queues"]
    if as_json:
        print_json(queues)
        return
    rows = [
        (
            queue["runtime"],
            queue["queued"],
            "" if queue["oldest_s"] is None else f"{queue['oldest_s']:.0f} s",
            queue["running"],
            f"{queue['rate_per_s']:.1f}",
            queue["workers"],
        )
        for queue in queues
    ]
    output().print(_table(["queue", "queued", "oldest", "running", "taken/s", "workers"], rows))
    for queue in queues:
        for sentence in troubles(queue):
            output().print(Text(sentence, "yellow"), soft_wrap=True)


def _show_found(detections: Iterable[dict[str, Any]]) -> None:
    """The objects that a model found: label, score, box."""
    rows = [
        (one["label"], f"{one['score']:.2f}", ", ".join(f"{side:.0f}" for side in one["box"])) for one in detections
    ]
    output().print(_table(["label", "score", "box (x1, y1, x2, y2)"], rows))


def _jobs(client: ServiceClient, filters: dict[str, str | None], limit: int) -> Iterator[dict[str, Any]]:
    """Page by page, up to `limit`."""
    page = client.get("/v1/jobs", limit=min(limit, PAGE), **filters)
    while True:
        yield from page["jobs"][:limit]
        limit -= len(page["jobs"])
        if limit <= 0 or not page["next"]:
            return
        page = client.get(page["next"])


def _facts(values: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in values.items():
        if value is not None:
            table.add_row(name, Text(str(value)))
    return table


def _table(headings: list[str], rows: Iterable[tuple[Any, ...]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        # Ids and names are there to be copied: they wrap rather than end in dots.
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text("" if cell is None else str(cell)) for cell in row))
    return table
