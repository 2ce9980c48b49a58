-- Two roles for one database: safebox_migration owns the tables and changes them; safebox_runtime runs workers, publishes and
-- reads, and can do no more than the statements of storage/postgres/queries need. A test holds this file to that.
--
-- Run it in the database, as a role that may create roles, before the first `safebox init`, and again after each that
-- migrated: it grants what is new, and takes back what was granted otherwise. Passwords are not set here:
--
--   ALTER ROLE safebox_runtime PASSWORD '…'   (or psql's \password)

DO $$
BEGIN
    IF to_regrole('safebox_migration') IS NULL THEN
        CREATE ROLE safebox_migration LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
    IF to_regrole('safebox_runtime') IS NULL THEN
        CREATE ROLE safebox_runtime LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;

    -- PUBLIC means whoever can log in to the server.
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, safebox_runtime', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO safebox_migration, safebox_runtime', current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC, safebox_runtime;
GRANT USAGE, CREATE ON SCHEMA public TO safebox_migration;
GRANT USAGE ON SCHEMA public TO safebox_runtime;

-- A replica waits for the marker in safebox_init while the other role makes the tables.
ALTER DEFAULT PRIVILEGES FOR ROLE safebox_migration IN SCHEMA public GRANT SELECT ON TABLES TO safebox_runtime;

DO $$
DECLARE
    granted record;
BEGIN
    REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, safebox_runtime;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, safebox_runtime;
    REVOKE ALL ON ALL ROUTINES IN SCHEMA public FROM PUBLIC, safebox_runtime;
    GRANT SELECT ON ALL TABLES IN SCHEMA public TO safebox_runtime;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO safebox_runtime;

    FOR granted IN SELECT * FROM (VALUES
        -- The log, the journal and the record of what operators did only grow.
        ('event_log', 'INSERT'),
        ('ledger_entry', 'INSERT'),
        ('parked_action', 'INSERT'),
        ('nwcevent', 'INSERT'),
        ('nfcrequesternonce', 'INSERT'),
        ('receiveofferbootstrap', 'INSERT'),
        ('event_cursor', 'INSERT, UPDATE (position, era)'),
        ('parked_event', 'INSERT, UPDATE (error, attempts), DELETE'),
        ('registeredsafebox', 'INSERT, UPDATE (balance, entry_count, custom_handle, owner, home_relay, access_key, currency_code)'),
        ('nwcsecret', 'INSERT, DELETE'),
        ('paymentquote', 'INSERT, UPDATE (paid)'),
        ('currencyrate', 'UPDATE (currency_rate, refresh_time)'),
        ('safebox_replica', 'INSERT, UPDATE, DELETE')
    ) AS g (relation, privileges)
    LOOP
        IF to_regclass('public.' || granted.relation) IS NOT NULL THEN
            EXECUTE format('GRANT %s ON public.%I TO safebox_runtime', granted.privileges, granted.relation);
        END IF;
    END LOOP;
END
$$;
