"""receive offer bootstrap"""

import sqlalchemy as sa
from alembic import op

revision = "20260416_0003"
down_revision = "20260310_0002"


def upgrade():
    op.create_table(
        "receiveofferbootstrap",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("nauth", sa.String(), nullable=False),
        sa.Column("grant_kind", sa.Integer(), nullable=False),
        sa.Column("offer_kind", sa.Integer(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("nonce"),
    )
    for column in ("nonce", "grant_kind", "offer_kind"):
        op.create_index(f"ix_receiveofferbootstrap_{column}", "receiveofferbootstrap", [column])


def downgrade():
    op.drop_table("receiveofferbootstrap")
