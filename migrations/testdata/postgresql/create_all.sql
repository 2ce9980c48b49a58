CREATE TABLE registeredsafebox (
	id SERIAL NOT NULL,
	handle VARCHAR NOT NULL,
	custom_handle VARCHAR,
	npub VARCHAR NOT NULL,
	nsec VARCHAR,
	home_relay VARCHAR NOT NULL,
	onboard_code VARCHAR NOT NULL,
	access_key VARCHAR,
	balance INTEGER NOT NULL,
	owner VARCHAR,
	emergency_code VARCHAR,
	currency_code VARCHAR,
	PRIMARY KEY (id),
	UNIQUE (custom_handle),
	UNIQUE (emergency_code)
);
CREATE UNIQUE INDEX ix_registeredsafebox_access_key ON registeredsafebox (access_key);
CREATE UNIQUE INDEX ix_registeredsafebox_handle ON registeredsafebox (handle);
CREATE UNIQUE INDEX ix_registeredsafebox_npub ON registeredsafebox (npub);
CREATE TABLE paymentquote (
	id SERIAL NOT NULL,
	nsec VARCHAR NOT NULL,
	handle VARCHAR NOT NULL,
	quote VARCHAR NOT NULL,
	amount INTEGER NOT NULL,
	mint VARCHAR NOT NULL,
	paid BOOLEAN NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE currencyrate (
	currency_code VARCHAR NOT NULL,
	currency_rate FLOAT,
	currency_symbol VARCHAR,
	currency_description VARCHAR,
	refresh_time TIMESTAMP WITHOUT TIME ZONE,
	fractional_unit VARCHAR,
	number_to_base INTEGER,
	PRIMARY KEY (currency_code)
);
CREATE TABLE nwcevent (
	id SERIAL NOT NULL,
	event_id VARCHAR NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (event_id)
);
CREATE TABLE receiveofferbootstrap (
	id SERIAL NOT NULL,
	nonce VARCHAR NOT NULL,
	nauth VARCHAR NOT NULL,
	grant_kind INTEGER NOT NULL,
	offer_kind INTEGER NOT NULL,
	host VARCHAR NOT NULL,
	label VARCHAR,
	created_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	PRIMARY KEY (id)
);
CREATE INDEX ix_receiveofferbootstrap_grant_kind ON receiveofferbootstrap (grant_kind);
CREATE UNIQUE INDEX ix_receiveofferbootstrap_nonce ON receiveofferbootstrap (nonce);
CREATE INDEX ix_receiveofferbootstrap_offer_kind ON receiveofferbootstrap (offer_kind);
CREATE TABLE nwcsecret (
	id SERIAL NOT NULL,
	nwc_secret VARCHAR NOT NULL,
	npub VARCHAR NOT NULL,
	PRIMARY KEY (id),
	UNIQUE (nwc_secret)
);
CREATE TABLE nfcrequesternonce (
	id SERIAL NOT NULL,
	requester_pubkey VARCHAR NOT NULL,
	flow VARCHAR NOT NULL,
	nonce VARCHAR NOT NULL,
	requester_ts INTEGER NOT NULL,
	used_at TIMESTAMP WITHOUT TIME ZONE NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT uq_nfc_requester_nonce UNIQUE (requester_pubkey, flow, nonce)
);
CREATE INDEX ix_nfcrequesternonce_flow ON nfcrequesternonce (flow);
CREATE INDEX ix_nfcrequesternonce_requester_pubkey ON nfcrequesternonce (requester_pubkey);
CREATE INDEX ix_nfcrequesternonce_nonce ON nfcrequesternonce (nonce);
CREATE UNIQUE INDEX uq_registeredsafebox_npub ON registeredsafebox (npub);
CREATE UNIQUE INDEX uq_registeredsafebox_handle ON registeredsafebox (handle);
CREATE UNIQUE INDEX uq_registeredsafebox_access_key ON registeredsafebox (access_key) WHERE access_key IS NOT NULL;
INSERT INTO registeredsafebox (handle, npub, home_relay, onboard_code, access_key, balance) VALUES
	('maple-wren-10', 'npub1zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygse4sl3h', 'wss://relay.example.org', 'first', 'correct-horse-battery', 4200),
	('fern-lynx-20', 'npub1yg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3q2pw2gm', 'wss://relay.example.org', 'first', NULL, 0);
INSERT INTO receiveofferbootstrap (nonce, nauth, grant_kind, offer_kind, host, created_at) VALUES
	('n-1', 'nauth-1', 1, 2, 'host.example.org', '2026-05-01 10:00:00.000000');
INSERT INTO nfcrequesternonce (requester_pubkey, flow, nonce, requester_ts, used_at) VALUES
	('02aa', 'pay', 'n-1', 1780000000, '2026-05-01 10:00:00.000000');
