"""The commands that show jobs, batches, queues and the version; and the tables of `boxqueue models`."""

from collections.abc import Iterable, Iterator
from importlib.metadata import version as installed_version
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli.client import ServiceClient
from cli.diagnosis import diagnose
from cli.errors import ServiceUnreachable
from cli.options import SOME_ID, JsonOption, UrlOption, examples
from cli.results import result_of
from cli.target import service
from cli.terminal import output, print_json

PAGE = 100
app = typer.Typer()


@app.command(epilog=examples("boxqueue jobs --status failed --limit 100", f"boxqueue jobs {SOME_ID} --json"))
def jobs(
    job_id: Annotated[str | None, typer.Argument(metavar="ID", help="Show this job with its detections.")] = None,
    status: Annotated[
        str | None, typer.Option(help="Only queued, running, succeeded, failed or cancelled jobs.")
    ] = None,
    batch: Annotated[str | None, typer.Option(metavar="ID", help="Only jobs of this batch.")] = None,
    model: Annotated[str | None, typer.Option(help="Only jobs of this model.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The greatest number of jobs to list.")] = 20,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, or show one."""
    with service(url) as client:
        if job_id:
            show_job(client, job_id, as_json)
        else:
            show_jobs(client, {"status": status, "batch": batch, "model": model}, limit, as_json)


@app.command(epilog=examples(f"boxqueue batches {SOME_ID}", f"boxqueue batches {SOME_ID} --cancel"))
def batches(
    batch_id: Annotated[str, typer.Argument(metavar="ID", help="The batch.")],
    close: Annotated[bool, typer.Option("--close", help="Accept no more pictures, so that it can finish.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the jobs that have not finished.")] = False,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a batch and its progress; close it or cancel it."""
    path = f"/v1/batches/{batch_id}"
    with service(url) as client:
        if cancel:
            shown = client.post(f"{path}/cancel")
        elif close:
            shown = client.post(f"{path}/close")
        else:
            shown = client.get(path)
    show_batch(shown, as_json)


@app.command()
def queues(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show the queues and their workers. Sentences below the table say what is wrong and what to do about it."""
    with service(url) as client:
        show_queues(client, as_json)


@app.command()
def version(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show the version of this command, and of the service if one answers."""
    running: dict[str, Any] | None = None
    try:
        with service(url) as client:
            running = client.get("/version")
    except ServiceUnreachable:
        pass  # shows the version of the command alone
    if as_json:
        print_json({"command": installed_version("boxqueue"), "service": running})
        return
    parts = ", ".join(f"{name} {value}" for name, value in (running or {}).items() if value)
    output().out(f"boxqueue {installed_version('boxqueue')}\nservice: {parts or 'none answers'}")


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
    found = list(_jobs(client, filters, limit))
    if as_json:
        print_json(found)
        return
    rows = []
    for job in found:
        result = result_of(job)
        boxes = "" if job["detections"] is None else result.boxes
        rows.append((job["id"], job["status"], job["model"], result.source, boxes, result.error or result.best))
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
    """A model's inputs, outputs, detections and times."""
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
    shown = client.get("/v1/queues")["queues"]
    if as_json:
        print_json(shown)
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
        for queue in shown
    ]
    output().print(_table(["queue", "queued", "oldest", "running", "taken/s", "workers"], rows))
    for queue in shown:
        for sentence in diagnose(queue):
            output().print(Text(sentence, "yellow"), soft_wrap=True)


def _show_found(detections: Iterable[dict[str, Any]]) -> None:
    """The detections: label, score, box in pixels."""
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
        # People copy ids and names, so they wrap instead of being cut.
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text("" if cell is None else str(cell)) for cell in row))
    return table
