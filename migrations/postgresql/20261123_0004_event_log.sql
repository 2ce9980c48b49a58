-- +migrate Up notransaction
-- The Python program reads and writes its tables while this runs, however big they are. A 32-bit column is made wider
-- without a rewrite under a lock: a wider column is added beside it, a trigger keeps the two equal, the rows that were there
-- are filled in batch by batch, and then the new column takes the old one's place. Every statement that locks such a table
-- changes the catalogue alone; what takes long locks no more than the rows of one batch.

-- What hangs on a column would be lost with it, or keep it from being dropped: it is looked for now and before each swap.
-- +migrate StatementBegin
DO $$
BEGIN
    CREATE FUNCTION safebox_refuse_dependents(target regclass, narrow name) RETURNS void LANGUAGE plpgsql AS $f$
    DECLARE
        found text;
    BEGIN
        SELECT string_agg(DISTINCT dependent, ', ') INTO found
        FROM (
            SELECT pg_describe_object(d.classid, d.objid, d.objsubid) AS dependent
            FROM pg_depend d
            JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
            WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = target AND a.attname = narrow
              -- Some versions of PostgreSQL keep NOT NULL as a constraint.
              AND NOT EXISTS (SELECT FROM pg_constraint c WHERE d.classid = 'pg_constraint'::regclass AND c.oid = d.objid AND c.contype = 'n')
            UNION ALL
            SELECT 'a privilege on the column' FROM pg_attribute WHERE attrelid = target AND attname = narrow AND attacl IS NOT NULL
        ) AS dependents;
        IF found IS NOT NULL THEN
            RAISE EXCEPTION '%.% becomes bigint, which takes a new column, and there depends on the old one: %; drop that, start again, and make it anew afterwards',
                target, narrow, found USING ERRCODE = 'dependent_objects_still_exist';
        END IF;
    END $f$;
    PERFORM safebox_refuse_dependents('registeredsafebox', 'balance');
    PERFORM safebox_refuse_dependents('paymentquote', 'amount');
    PERFORM safebox_refuse_dependents('nfcrequesternonce', 'requester_ts');
END $$;
-- +migrate StatementEnd

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

-- One row a partition, updated once a batch: half of each page is kept free, so that an update stays on its page. But where
-- someone holds a snapshot, no version of a row can go, and under one key who looks for the cursor would pass them all, and more
-- with every batch. So the key has an era, which is another after every 64 positions: the newest version is the first of the
-- newest era. That a partition has one row is seen to by who joins a group.
CREATE TABLE event_cursor (
    topic          text    NOT NULL,
    consumer_group text    NOT NULL,
    partition      integer NOT NULL,
    position       bigint  NOT NULL,
    era            bigint  NOT NULL DEFAULT 0,
    CONSTRAINT event_cursor_pkey PRIMARY KEY (topic, consumer_group, partition, era)
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

-- Fills in the wide column of every row where it differs from the narrow one, which takes no more than to touch the row: the
-- trigger does it. A batch takes about 50 ms, holds no lock while it waits for one, and is followed by a pause, so that
-- writers get by. What others hold at that moment is left for the next pass. It may be called again after a death.
-- +migrate StatementBegin
CREATE OR REPLACE PROCEDURE safebox_backfill(target regclass, narrow name)
LANGUAGE plpgsql AS $$
DECLARE
    differs text    := format('%I <> %I', narrow || '_wide', narrow);
    batch   integer := 200; -- rows
    total   bigint;
    done    bigint;
    last    bigint;
    n       bigint;
    began   timestamptz;
    took    double precision; -- seconds
BEGIN
    LOOP
        COMMIT;
        SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
        EXECUTE format('SELECT count(*) FROM %s WHERE %s', target, differs) INTO total;
        EXIT WHEN total = 0;
        IF done = 0 THEN
            RAISE NOTICE 'backfilling %: waiting for % rows that other transactions hold', target, to_char(total, 'FM999,999,999,990');
            PERFORM pg_sleep(0.5);
        END IF;
        done := 0;
        last := -2147483649; -- below every integer
        LOOP
            COMMIT;
            SET TRANSACTION ISOLATION LEVEL READ COMMITTED;
            began := clock_timestamp();
            EXECUTE format('WITH touched AS (
                    UPDATE %1$s SET %3$I = %3$I
                    WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$s WHERE id > $1 AND %2$s ORDER BY id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED))
                    RETURNING id)
                SELECT count(*), max(id) FROM touched', target, differs, narrow) INTO n, last USING last, batch;
            COMMIT;
            done := done + n;
            EXIT WHEN n < batch;
            RAISE NOTICE 'backfilling %: % of % rows', target, to_char(done, 'FM999,999,999,990'), to_char(total, 'FM999,999,999,990');
            took := extract(epoch FROM clock_timestamp() - began);
            batch := least(2 * batch, 2000, greatest(50, batch * 0.05 / greatest(took, 0.001)));
            PERFORM pg_sleep(took / 4);
        END LOOP;
    END LOOP;
END $$;
-- +migrate StatementEnd

-- New columns have a default, so that a program which does not know them keeps inserting. The opening balance follows the
-- balance until the swap: it is the balance at that moment. Most of each page is kept free: there the versions of a wallet's row
-- stay until they are pruned, and none of its indexes has to learn of them. Where someone holds a snapshot none is pruned: then
-- one version in ten goes to another page and into all indexes. With half of a page free it would be every second one, and every
-- check that a value is unique passes them all. The indexes by which a batch finds its wallets keep an entry of its own for each
-- of them, the newest last: in a list of duplicates, who comes from the newest is given the oldest first.
-- +migrate StatementBegin
DO $$
DECLARE
    btree regclass;
BEGIN
    ALTER TABLE registeredsafebox
        ADD COLUMN balance_wide bigint NOT NULL DEFAULT 0,
        ADD COLUMN opening_balance bigint NOT NULL DEFAULT 0,
        ADD COLUMN entry_count bigint NOT NULL DEFAULT 0,
        SET (fillfactor = 10);
    FOR btree IN
        SELECT x.indexrelid FROM pg_index x
        JOIN pg_class i ON i.oid = x.indexrelid
        JOIN pg_am m ON m.oid = i.relam
        JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
        WHERE x.indrelid = 'registeredsafebox'::regclass AND m.amname = 'btree' AND a.attname = 'npub'
    LOOP
        EXECUTE format('ALTER INDEX %s SET (deduplicate_items = off)', btree);
    END LOOP;
    CREATE FUNCTION safebox_widen_balance() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
        NEW.balance_wide := NEW.balance;
        NEW.opening_balance := NEW.balance;
        RETURN NEW;
    END $f$;
    CREATE TRIGGER zz_safebox_widen BEFORE INSERT OR UPDATE ON registeredsafebox
        FOR EACH ROW EXECUTE FUNCTION safebox_widen_balance();
    ALTER TABLE registeredsafebox ENABLE ALWAYS TRIGGER zz_safebox_widen;
END $$;
-- +migrate StatementEnd

CALL safebox_backfill('registeredsafebox', 'balance');

-- +migrate StatementBegin
DO $$
BEGIN
    LOCK TABLE registeredsafebox IN ACCESS EXCLUSIVE MODE;
    PERFORM safebox_refuse_dependents('registeredsafebox', 'balance');
    DROP TRIGGER zz_safebox_widen ON registeredsafebox;
    DROP FUNCTION safebox_widen_balance();
    ALTER TABLE registeredsafebox DROP COLUMN balance;
    ALTER TABLE registeredsafebox RENAME COLUMN balance_wide TO balance;
    ALTER TABLE registeredsafebox
        ALTER COLUMN balance DROP DEFAULT,
        -- Two lanes may pay into one wallet at once; each has checked the limit against what it saw.
        ADD CONSTRAINT registeredsafebox_balance_limit CHECK (balance <= 9007199254740991) NOT VALID;
END $$;
-- +migrate StatementEnd

-- +migrate StatementBegin
DO $$
BEGIN
    ALTER TABLE paymentquote
        ADD COLUMN npub character varying,
        ADD COLUMN amount_wide bigint NOT NULL DEFAULT 0;
    CREATE FUNCTION safebox_widen_amount() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
        NEW.amount_wide := NEW.amount;
        RETURN NEW;
    END $f$;
    CREATE TRIGGER zz_safebox_widen BEFORE INSERT OR UPDATE ON paymentquote
        FOR EACH ROW EXECUTE FUNCTION safebox_widen_amount();
    ALTER TABLE paymentquote ENABLE ALWAYS TRIGGER zz_safebox_widen;
END $$;
-- +migrate StatementEnd

CALL safebox_backfill('paymentquote', 'amount');

-- +migrate StatementBegin
DO $$
BEGIN
    LOCK TABLE paymentquote IN ACCESS EXCLUSIVE MODE;
    PERFORM safebox_refuse_dependents('paymentquote', 'amount');
    DROP TRIGGER zz_safebox_widen ON paymentquote;
    DROP FUNCTION safebox_widen_amount();
    ALTER TABLE paymentquote DROP COLUMN amount;
    ALTER TABLE paymentquote RENAME COLUMN amount_wide TO amount;
    ALTER TABLE paymentquote ALTER COLUMN amount DROP DEFAULT;
END $$;
-- +migrate StatementEnd

-- +migrate StatementBegin
DO $$
BEGIN
    ALTER TABLE nfcrequesternonce
        ADD COLUMN requester_ts_wide bigint NOT NULL DEFAULT 0;
    CREATE FUNCTION safebox_widen_requester_ts() RETURNS trigger LANGUAGE plpgsql AS $f$
    BEGIN
        NEW.requester_ts_wide := NEW.requester_ts;
        RETURN NEW;
    END $f$;
    CREATE TRIGGER zz_safebox_widen BEFORE INSERT OR UPDATE ON nfcrequesternonce
        FOR EACH ROW EXECUTE FUNCTION safebox_widen_requester_ts();
    ALTER TABLE nfcrequesternonce ENABLE ALWAYS TRIGGER zz_safebox_widen;
END $$;
-- +migrate StatementEnd

CALL safebox_backfill('nfcrequesternonce', 'requester_ts');

-- +migrate StatementBegin
DO $$
BEGIN
    LOCK TABLE nfcrequesternonce IN ACCESS EXCLUSIVE MODE;
    PERFORM safebox_refuse_dependents('nfcrequesternonce', 'requester_ts');
    DROP TRIGGER zz_safebox_widen ON nfcrequesternonce;
    DROP FUNCTION safebox_widen_requester_ts();
    ALTER TABLE nfcrequesternonce DROP COLUMN requester_ts;
    ALTER TABLE nfcrequesternonce RENAME COLUMN requester_ts_wide TO requester_ts;
    ALTER TABLE nfcrequesternonce ALTER COLUMN requester_ts DROP DEFAULT;
END $$;
-- +migrate StatementEnd

DROP PROCEDURE safebox_backfill(regclass, name);
DROP FUNCTION safebox_refuse_dependents(regclass, name);

CREATE INDEX CONCURRENTLY ix_paymentquote_quote ON paymentquote (quote);
-- Quotes that came by an event are unique; older ones, whose npub is null, may repeat.
CREATE UNIQUE INDEX CONCURRENTLY uq_paymentquote_quote ON paymentquote (quote) WHERE npub IS NOT NULL;
CREATE INDEX CONCURRENTLY ix_nwcsecret_npub ON nwcsecret (npub);

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
-- +migrate StatementBegin
DO $$
DECLARE
    btree regclass;
BEGIN
    FOR btree IN
        SELECT x.indexrelid FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
        WHERE x.indrelid = 'registeredsafebox'::regclass AND 'deduplicate_items=off' = ANY (i.reloptions)
    LOOP
        EXECUTE format('ALTER INDEX %s RESET (deduplicate_items)', btree);
    END LOOP;
END $$;
-- +migrate StatementEnd
DROP TABLE parked_action;
DROP TABLE safebox_replica;
DROP TABLE parked_event;
DROP TABLE ledger_entry;
DROP TABLE event_cursor;
DROP TABLE event_log;
