"""The Celery application of the workers. Celery distributes and supervises; the database says what there is to do."""

from celery import Celery

from jobs.settings import Settings


def make_app(settings: Settings) -> Celery:
    """An application without its plan; `worker.__main__` adds that."""
    app = Celery("boxqueue", broker=settings.celery_broker, include=["worker.tasks"])
    app.conf.update(
        # A doorbell that is lost or doubled does no harm, so it is taken off before the work and never redelivered.
        task_acks_late=False,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        # A busy worker takes no doorbell that another could answer.
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # Forked children inherit broken CUDA, TensorFlow and OpenMP state.
        worker_pool_start_method="spawn",
        # A child imports its framework and warms its models up before it reports; the default of 4 s kills it first.
        worker_proc_alive_timeout=180.0,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # The logging is ours (worker/logs.py), in the parent and in the children.
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        # Stands behind the watchdog, for a process so stuck that not even its other threads run.
        task_time_limit=hard_limit_seconds(settings),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={"socket_keepalive": True, "socket_connect_timeout": 5},
    )
    return app


def hard_limit_seconds(settings: Settings) -> float:
    """How long a task may take before Celery kills its process."""
    return settings.drain_seconds + 60 + 10 * settings.picture_seconds
