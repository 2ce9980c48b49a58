-- +migrate Up
-- Times are text in UTC with microseconds, 2026-01-02T03:04:05.000006Z, which sorts as it reads.
CREATE TABLE event_log (
    topic       TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    source      TEXT    NOT NULL,
    id          TEXT    NOT NULL,
    type        TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    time        TEXT    NOT NULL,
    data        TEXT    NOT NULL,
    metadata    TEXT,
    recorded_at TEXT    NOT NULL,
    PRIMARY KEY (topic, partition, position),
    UNIQUE (topic, source, id)
) WITHOUT ROWID;

-- Finds the registration that a transfer may have to wait for; one entry a wallet.
CREATE INDEX event_log_registration ON event_log (subject) WHERE type = 'safebox.wallet.registered.v1';

CREATE TABLE event_cursor (
    topic          TEXT    NOT NULL,
    consumer_group TEXT    NOT NULL,
    partition      INTEGER NOT NULL,
    position       INTEGER NOT NULL,
    PRIMARY KEY (topic, consumer_group, partition)
) WITHOUT ROWID;

CREATE TABLE ledger_entry (
    partition INTEGER NOT NULL,
    position  INTEGER NOT NULL,
    leg       INTEGER NOT NULL,
    subject   TEXT    NOT NULL,
    seq       INTEGER,
    type      TEXT    NOT NULL,
    outcome   TEXT    NOT NULL,
    reason    TEXT,
    amount    INTEGER NOT NULL,
    fee       INTEGER NOT NULL,
    balance   INTEGER NOT NULL,
    at        TEXT    NOT NULL,
    PRIMARY KEY (partition, position, leg),
    UNIQUE (subject, seq)
) WITHOUT ROWID;

CREATE TABLE parked_event (
    topic          TEXT    NOT NULL,
    consumer_group TEXT    NOT NULL,
    partition      INTEGER NOT NULL,
    position       INTEGER NOT NULL,
    subject        TEXT    NOT NULL,
    error          TEXT    NOT NULL,
    attempts       INTEGER NOT NULL,
    parked_at      TEXT    NOT NULL,
    PRIMARY KEY (topic, consumer_group, partition, position)
) WITHOUT ROWID;

CREATE TABLE safebox_replica (
    instance TEXT    NOT NULL,
    version  TEXT    NOT NULL,
    since    TEXT    NOT NULL,
    seen_at  TEXT    NOT NULL,
    lanes    INTEGER NOT NULL,
    state    TEXT    NOT NULL,
    leader   INTEGER NOT NULL,
    PRIMARY KEY (instance)
) WITHOUT ROWID;

-- Columns with a default, so that a program which does not know them keeps inserting.
ALTER TABLE registeredsafebox ADD COLUMN opening_balance INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registeredsafebox ADD COLUMN entry_count INTEGER NOT NULL DEFAULT 0;
UPDATE registeredsafebox SET opening_balance = balance WHERE balance <> 0;

ALTER TABLE paymentquote ADD COLUMN npub VARCHAR;
CREATE INDEX ix_paymentquote_quote ON paymentquote (quote);
-- Quotes that came by an event are unique; older ones, whose npub is null, may repeat.
CREATE UNIQUE INDEX uq_paymentquote_quote ON paymentquote (quote) WHERE npub IS NOT NULL;
CREATE INDEX ix_nwcsecret_npub ON nwcsecret (npub);

-- Finds the parked events of a subject: what a claim asks for each subject of its batch.
CREATE INDEX parked_event_subject ON parked_event (topic, consumer_group, partition, subject, position);

-- What operators did about the parked events of a subject, each one a row for ever.
CREATE TABLE parked_action (
    topic          TEXT    NOT NULL,
    consumer_group TEXT    NOT NULL,
    subject        TEXT    NOT NULL,
    number         INTEGER NOT NULL,
    action         TEXT    NOT NULL,
    actor          TEXT    NOT NULL,
    reason         TEXT    NOT NULL,
    first_position INTEGER NOT NULL,
    last_position  INTEGER NOT NULL,
    events         INTEGER NOT NULL,
    error          TEXT    NOT NULL,
    at             TEXT    NOT NULL,
    PRIMARY KEY (topic, consumer_group, subject, number)
) WITHOUT ROWID;

-- +migrate Down
DROP INDEX ix_nwcsecret_npub;
DROP INDEX uq_paymentquote_quote;
DROP INDEX ix_paymentquote_quote;
ALTER TABLE paymentquote DROP COLUMN npub;
ALTER TABLE registeredsafebox DROP COLUMN entry_count;
ALTER TABLE registeredsafebox DROP COLUMN opening_balance;
DROP TABLE parked_action;
DROP TABLE safebox_replica;
DROP TABLE parked_event;
DROP TABLE ledger_entry;
DROP TABLE event_cursor;
DROP TABLE event_log;
