"""Workers record the outages of model servers"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

# Only adds: processes of the version before do not use it.


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
