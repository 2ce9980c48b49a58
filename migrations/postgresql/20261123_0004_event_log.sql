-- +migrate Up
CREATE TABLE event_log (
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    position    bigint      NOT NULL,
    source      text        NOT NULL,
    id          text        NOT NULL,
    type        text        NOT NULL,
    subject     text        NOT NULL,
    time        timestamptz NOT NULL,
    data        text        NOT NULL,
    metadata    text,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT event_log_pkey PRIMARY KEY (topic, partition, position),
    CONSTRAINT event_log_identity UNIQUE (topic, source, id)
);

-- Finds the registration that a transfer may have to wait for; one entry a wallet.
CREATE INDEX event_log_registration ON event_log (subject) WHERE type = 'safebox.wallet.registered.v1';

-- One row a partition, updated once a batch: half of each page is kept free, so that every update stays on its page.
CREATE TABLE event_cursor (
    topic          text    NOT NULL,
    consumer_group text    NOT NULL,
    partition      integer NOT NULL,
    position       bigint  NOT NULL,
    CONSTRAINT event_cursor_pkey PRIMARY KEY (topic, consumer_group, partition)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

CREATE TABLE ledger_entry (
    partition integer     NOT NULL,
    position  bigint      NOT NULL,
    leg       smallint    NOT NULL,
    subject   text        NOT NULL,
    seq       bigint,
    type      text        NOT NULL,
    outcome   text        NOT NULL,
    reason    text,
    amount    bigint      NOT NULL,
    fee       bigint      NOT NULL,
    balance   bigint      NOT NULL,
    at        timestamptz NOT NULL,
    CONSTRAINT ledger_entry_pkey PRIMARY KEY (partition, position, leg),
    CONSTRAINT ledger_entry_seq UNIQUE (subject, seq)
);

CREATE TABLE parked_event (
    topic          text        NOT NULL,
    consumer_group text        NOT NULL,
    partition      integer     NOT NULL,
    position       bigint      NOT NULL,
    subject        text        NOT NULL,
    error          text        NOT NULL,
    attempts       integer     NOT NULL,
    parked_at      timestamptz NOT NULL,
    CONSTRAINT parked_event_pkey PRIMARY KEY (topic, consumer_group, partition, position)
);

CREATE TABLE safebox_replica (
    instance text        NOT NULL,
    version  text        NOT NULL,
    since    timestamptz NOT NULL,
    seen_at  timestamptz NOT NULL,
    lanes    integer     NOT NULL,
    state    text        NOT NULL,
    leader   boolean     NOT NULL,
    CONSTRAINT safebox_replica_pkey PRIMARY KEY (instance)
) WITH (fillfactor = 50);

-- Columns with a default, so that a program which does not know them keeps inserting.
ALTER TABLE registeredsafebox
    ALTER COLUMN balance TYPE bigint,
    ADD COLUMN opening_balance bigint NOT NULL DEFAULT 0,
    ADD COLUMN entry_count bigint NOT NULL DEFAULT 0,
    -- Two lanes may pay into one wallet at once; each has checked the limit against what it saw.
    ADD CONSTRAINT registeredsafebox_balance_limit CHECK (balance <= 9007199254740991) NOT VALID,
    SET (fillfactor = 80);
UPDATE registeredsafebox SET opening_balance = balance WHERE balance <> 0;

ALTER TABLE paymentquote
    ALTER COLUMN amount TYPE bigint,
    ADD COLUMN npub character varying;
CREATE INDEX ix_paymentquote_quote ON paymentquote (quote);
-- Quotes that came by an event are unique; older ones, whose npub is null, may repeat.
CREATE UNIQUE INDEX uq_paymentquote_quote ON paymentquote (quote) WHERE npub IS NOT NULL;
CREATE INDEX ix_nwcsecret_npub ON nwcsecret (npub);

ALTER TABLE nfcrequesternonce ALTER COLUMN requester_ts TYPE bigint;

-- Finds the parked events of a subject: what a claim asks for each subject of its batch.
CREATE INDEX parked_event_subject ON parked_event (topic, consumer_group, partition, subject, position);

-- What operators did about the parked events of a subject, each one a row for ever.
CREATE TABLE parked_action (
    topic          text        NOT NULL,
    consumer_group text        NOT NULL,
    subject        text        NOT NULL,
    number         integer     NOT NULL,
    action         text        NOT NULL,
    actor          text        NOT NULL,
    reason         text        NOT NULL,
    first_position bigint      NOT NULL,
    last_position  bigint      NOT NULL,
    events         integer     NOT NULL,
    error          text        NOT NULL,
    at             timestamptz NOT NULL,
    CONSTRAINT parked_action_pkey PRIMARY KEY (topic, consumer_group, subject, number)
);

-- +migrate Down
ALTER TABLE nfcrequesternonce ALTER COLUMN requester_ts TYPE integer;
DROP INDEX ix_nwcsecret_npub;
DROP INDEX uq_paymentquote_quote;
DROP INDEX ix_paymentquote_quote;
ALTER TABLE paymentquote
    DROP COLUMN npub,
    ALTER COLUMN amount TYPE integer;
ALTER TABLE registeredsafebox
    DROP CONSTRAINT registeredsafebox_balance_limit,
    DROP COLUMN entry_count,
    DROP COLUMN opening_balance,
    ALTER COLUMN balance TYPE integer,
    RESET (fillfactor);
DROP TABLE parked_action;
DROP TABLE safebox_replica;
DROP TABLE parked_event;
DROP TABLE ledger_entry;
DROP TABLE event_cursor;
DROP TABLE event_log;
