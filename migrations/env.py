"""Alembic runs this. The connection comes from `jobs.migrate`, which holds the lock and the transaction."""

from alembic import context

from jobs.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
