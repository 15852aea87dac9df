"""The Celery application of the workers.

Celery delivers doorbells and supervises processes. The jobs are in the database.
"""

from celery import Celery

from jobs.settings import Settings


def make_app(settings: Settings) -> Celery:
    """The application without the plan, which `worker.__main__` adds."""
    app = Celery("boxqueue", broker=settings.celery_broker, include=["worker.tasks"])
    app.conf.update(
        # A lost or repeated doorbell does no harm. So it is acknowledged before the work, and never delivered again.
        task_acks_late=False,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # A busy worker does not take a doorbell that another worker could answer.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # After a fork, CUDA, TensorFlow and OpenMP do not work in the child.
        worker_pool_start_method="spawn",
        # A child imports its framework and warms up its models before it reports. The default is 4 s.
        worker_proc_alive_timeout=180.0,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # worker/logs.py configures logging in the parent and in the children.
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        # The watchdog ends a process earlier. This is for a process in which no thread runs, not even the watchdog.
        task_time_limit=hard_limit_seconds(settings),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"socket_keepalive": True, "socket_connect_timeout": 5},
    )
    return app


def hard_limit_seconds(settings: Settings) -> float:
    """Seconds after which Celery kills the process of a task."""
    return settings.drain_seconds + 60 + 10 * settings.picture_seconds
