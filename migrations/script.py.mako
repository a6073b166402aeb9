<%!
# Here, because of what fails later on Alembic only tells where a traceback is.
from eventsourcing_alchemy.schema.new_revisions import require_checkout

require_checkout(_template_filename)
%>\
"""${message}.

Frozen once released: a revision imports nothing of the package.

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

from __future__ import annotations

import os

import sqlalchemy as sa
from alembic import context, op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Upgrade the schema, where that has not been done yet."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Downgrade the schema."""
    ${downgrades if downgrades else "pass"}
