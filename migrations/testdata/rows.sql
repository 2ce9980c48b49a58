INSERT INTO registeredsafebox (id, handle, custom_handle, npub, nsec, home_relay, onboard_code, access_key, balance, owner, session_nonce, emergency_code, currency_code) VALUES
    (1, 'maple-wren-10', NULL, 'npub1zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygse4sl3h', NULL, 'wss://relay.example.org', 'first', 'correct-horse-battery', 4200, 'ann', NULL, NULL, 'EUR'),
    (2, 'fern-lynx-20', 'fern', 'npub1yg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3q2pw2gm', NULL, 'wss://relay.example.org', 'first', NULL, 0, NULL, 'sn-2', 'em-2', NULL),
    (5, 'moss-hare-50', NULL, 'npub1xvenxvenxvenxvenxvenxvenxvenxvenxvenxvenxvenxvenxves35z8z4', NULL, 'wss://relay.example.org', 'later', NULL, 2000000000, NULL, NULL, NULL, 'SAT');
INSERT INTO paymentquote (id, nsec, handle, quote, amount, mint, paid) VALUES
    (1, '', 'maple-wren-10', 'pq-1', 300, 'https://mint.example.org', false),
    (2, '', 'moss-hare-50', 'pq-1', 900, 'https://mint.example.org', true);
INSERT INTO currencyrate (currency_code, currency_rate, currency_symbol, currency_description, refresh_time, fractional_unit, number_to_base) VALUES
    ('EUR', 91234.5, 'E', 'an operator''s own words', '2026-02-21 08:00:00.000000', 'cent', 100);
INSERT INTO nwcevent (id, event_id) VALUES (7, 'ee77');
INSERT INTO nwcsecret (id, nwc_secret, npub) VALUES (3, 'nwc-three', 'npub1zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygse4sl3h');
