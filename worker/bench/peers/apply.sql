-- Applies one event as the ledger does and writes the same rows: for peers that process events one by one. It knows the
-- types of the benchmark's workload. The caller's transaction, or the statement itself, makes it all or nothing.
CREATE FUNCTION bench_apply(p integer, pos bigint, typ text, subj text, d jsonb, happened timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    w registeredsafebox;
    payee registeredsafebox;
    q paymentquote;
    sats bigint := coalesce((d ->> 'amount')::bigint, 0);
    cost bigint := coalesce((d ->> 'fee')::bigint, 0);
    change bigint := 0; -- of the wallet, without the fee
    why text;
BEGIN
    IF typ = 'safebox.funds.transferred.v1' THEN -- locks in one order, so that two transfers never deadlock
        PERFORM FROM registeredsafebox WHERE npub IN (subj, d ->> 'to') ORDER BY id FOR NO KEY UPDATE;
        SELECT * INTO STRICT payee FROM registeredsafebox WHERE npub = d ->> 'to';
    END IF;
    SELECT * INTO STRICT w FROM registeredsafebox WHERE npub = subj FOR NO KEY UPDATE;
    CASE typ
        WHEN 'safebox.funds.credited.v1' THEN
            change := sats;
        WHEN 'safebox.funds.debited.v1', 'safebox.funds.transferred.v1' THEN
            IF sats + cost > w.balance THEN
                why := 'insufficient_funds';
            ELSE
                change := -sats;
            END IF;
        WHEN 'safebox.quote.created.v1' THEN
            INSERT INTO paymentquote (nsec, handle, quote, amount, mint, paid, npub)
            VALUES ('', w.handle, d ->> 'quote', sats, d ->> 'mint', false, subj);
        WHEN 'safebox.quote.paid.v1' THEN
            SELECT * INTO q FROM paymentquote WHERE quote = d ->> 'quote' AND npub = subj FOR UPDATE;
            IF q.id IS NULL THEN -- a peer that keeps no order may pay a quote before it is there
                why := 'unknown_quote';
            ELSE
                UPDATE paymentquote SET paid = true WHERE id = q.id;
                change := q.amount;
            END IF;
        WHEN 'safebox.wallet.updated.v1' THEN
            UPDATE registeredsafebox SET currency_code = d ->> 'currency_code' WHERE id = w.id;
    END CASE;
    IF why IS NOT NULL THEN
        change := 0;
    END IF;
    IF change >= 0 THEN
        cost := 0;
    END IF;
    UPDATE registeredsafebox SET balance = balance + change - cost, entry_count = entry_count + 1 WHERE id = w.id;
    INSERT INTO ledger_entry (partition, position, leg, subject, seq, type, outcome, reason, amount, fee, balance, at)
    VALUES (p, pos, 0, subj, w.entry_count + 1, typ, CASE WHEN why IS NULL THEN 'applied' ELSE 'rejected' END, why,
        change, cost, w.balance + change - cost, happened);
    IF payee.id IS NOT NULL AND change < 0 THEN
        UPDATE registeredsafebox SET balance = balance + sats, entry_count = entry_count + 1 WHERE id = payee.id;
        INSERT INTO ledger_entry (partition, position, leg, subject, seq, type, outcome, amount, fee, balance, at)
        VALUES (p, pos, 1, payee.npub, payee.entry_count + 1, typ, 'applied', sats, 0, payee.balance + sats, happened);
    END IF;
END
$$;

-- What is in the log and not processed, for filling a peer's queue.
CREATE TABLE bench_queue AS
SELECT row_number() OVER (ORDER BY l.recorded_at) AS n, l.partition, l.position, l.type, l.subject, l.data::jsonb AS data, l.time
FROM event_log l JOIN event_cursor c USING (topic, partition) WHERE l.position > c.position;
ALTER TABLE bench_queue ADD PRIMARY KEY (n);
