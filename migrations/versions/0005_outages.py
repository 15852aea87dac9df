"""Workers tell of model servers that do not answer"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

# Expands only: who runs the version before neither reads nor misses it.


def upgrade() -> None:
    op.add_column(
        "workers",
        sa.Column(
            "outages",
            JSON,
            nullable=True,
            comment="name -> code, message, since: of models whose server does not answer",
        ),
    )
