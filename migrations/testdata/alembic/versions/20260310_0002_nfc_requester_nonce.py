"""nfc requester nonce"""

import sqlalchemy as sa
from alembic import op

revision = "20260310_0002"
down_revision = "20260220_0001"


def upgrade():
    op.create_table(
        "nfcrequesternonce",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("requester_pubkey", sa.String(), nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("nonce", sa.String(), nullable=False),
        sa.Column("requester_ts", sa.Integer(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("requester_pubkey", "flow", "nonce", name="uq_nfc_requester_nonce"),
    )
    for column in ("requester_pubkey", "flow", "nonce", "used_at"):
        op.create_index(f"ix_nfcrequesternonce_{column}", "nfcrequesternonce", [column])


def downgrade():
    op.drop_table("nfcrequesternonce")
