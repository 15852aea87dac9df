"""The commands that show jobs, batches, queues and the version."""

from collections.abc import Iterable
from importlib.metadata import version as installed_version
from itertools import islice
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.diagnosis import diagnose
from cli.errors import ServiceUnreachable
from cli.options import EXAMPLE_ID, JsonOption, UrlOption, examples, service
from cli.results import result_of
from cli.terminal import output, print_facts, print_json, print_table

PAGE = 100
app = typer.Typer()


@app.command(epilog=examples("boxqueue jobs --status failed --limit 100", f"boxqueue jobs {EXAMPLE_ID} --json"))
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
            _show_job(client.get(f"/v1/jobs/{job_id}"), as_json)
            return
        pages = client.jobs(limit=min(limit, PAGE), status=status, batch=batch, model=model)
        found = list(islice(pages, limit))
    if as_json:
        print_json(found)
        return
    rows = []
    for job in found:
        result = result_of(job)
        boxes = "" if job["detections"] is None else result.boxes
        rows.append((job["id"], job["status"], job["model"], result.source, boxes, result.error or result.best))
    print_table(["job", "status", "model", "picture", "boxes", "best labels, or the error"], rows)


@app.command(epilog=examples(f"boxqueue batches {EXAMPLE_ID}", f"boxqueue batches {EXAMPLE_ID} --cancel"))
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
    if as_json:
        print_json(shown)
        return
    names = ["id", "name", "status", "total", "pending", "succeeded", "failed", "cancelled", "rate_per_s", "eta_s"]
    names += ["created_at", "closed_at", "cancelled_at", "finished_at"]
    print_facts({name: shown[name] for name in names})


@app.command()
def queues(url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Show the queues and their workers. Sentences below the table say what is wrong and what to do about it."""
    with service(url) as client:
        shown = client.get("/v1/queues")["queues"]
    if as_json:
        print_json(shown)
        return
    rows = []
    for queue in shown:
        oldest = None if queue["oldest_s"] is None else f"{queue['oldest_s']:.0f} s"
        rate = f"{queue['rate_per_s']:.1f}"
        rows.append((queue["runtime"], queue["queued"], oldest, queue["running"], rate, queue["workers"]))
    print_table(["queue", "queued", "oldest", "running", "taken/s", "workers"], rows)
    for queue in shown:
        for sentence in diagnose(queue):
            output().print(Text(sentence, "yellow"), soft_wrap=True)


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


def _show_job(job: dict[str, Any], as_json: bool) -> None:
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
    print_facts(rows)
    if job["detections"] is not None:
        show_detections(job["detections"])


def show_detections(detections: Iterable[dict[str, Any]]) -> None:
    """The detections: label, score, box in pixels."""
    rows = [
        (one["label"], f"{one['score']:.2f}", ", ".join(f"{side:.0f}" for side in one["box"])) for one in detections
    ]
    print_table(["label", "score", "box (x1, y1, x2, y2)"], rows)
