"""baseline"""

import sqlalchemy as sa
from alembic import op

revision = "20260220_0001"
down_revision = None


def upgrade():
    op.create_table(
        "registeredsafebox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("custom_handle", sa.String(), nullable=True),
        sa.Column("npub", sa.String(), nullable=False),
        sa.Column("nsec", sa.String(), nullable=True),
        sa.Column("home_relay", sa.String(), nullable=False),
        sa.Column("onboard_code", sa.String(), nullable=False),
        sa.Column("access_key", sa.String(), nullable=True),
        sa.Column("balance", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("session_nonce", sa.String(), nullable=True),
        sa.Column("emergency_code", sa.String(), nullable=True),
        sa.Column("currency_code", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("custom_handle"),
        sa.UniqueConstraint("emergency_code"),
    )
    op.create_table(
        "paymentquote",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("nsec", sa.String(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("quote", sa.String(), nullable=False),
        sa.Column("amount", sa.Integer(), nullable=False),
        sa.Column("mint", sa.String(), nullable=False),
        sa.Column("paid", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "currencyrate",
        sa.Column("currency_code", sa.String(), nullable=False),
        sa.Column("currency_rate", sa.Float(), nullable=True),
        sa.Column("currency_symbol", sa.String(), nullable=True),
        sa.Column("currency_description", sa.String(), nullable=True),
        sa.Column("refresh_time", sa.DateTime(), nullable=True),
        sa.Column("fractional_unit", sa.String(), nullable=True),
        sa.Column("number_to_base", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("currency_code"),
    )
    op.create_table(
        "nwcevent",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id"),
    )
    op.create_table(
        "nwcsecret",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("nwc_secret", sa.String(), nullable=False),
        sa.Column("npub", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("nwc_secret"),
    )
    where = sa.text("access_key IS NOT NULL")
    op.create_index("uq_registeredsafebox_handle", "registeredsafebox", ["handle"], unique=True)
    op.create_index("uq_registeredsafebox_npub", "registeredsafebox", ["npub"], unique=True)
    op.create_index(
        "uq_registeredsafebox_access_key",
        "registeredsafebox",
        ["access_key"],
        unique=True,
        postgresql_where=where,
        sqlite_where=where,
    )
    for column in ("handle", "npub", "access_key"):
        op.create_index(f"ix_registeredsafebox_{column}", "registeredsafebox", [column])


def downgrade():
    for table in ("nwcsecret", "nwcevent", "currencyrate", "paymentquote", "registeredsafebox"):
        op.drop_table(table)
