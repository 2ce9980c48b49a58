CREATE TABLE receiveofferbootstrap (
	id INTEGER NOT NULL, nonce VARCHAR NOT NULL, nauth VARCHAR NOT NULL, grant_kind INTEGER NOT NULL, 
	offer_kind INTEGER NOT NULL, host VARCHAR NOT NULL, label VARCHAR, created_at DATETIME NOT NULL, 
	PRIMARY KEY (id), UNIQUE (nonce)
);
CREATE INDEX ix_receiveofferbootstrap_nonce ON receiveofferbootstrap (nonce);
CREATE INDEX ix_receiveofferbootstrap_grant_kind ON receiveofferbootstrap (grant_kind);
CREATE INDEX ix_receiveofferbootstrap_offer_kind ON receiveofferbootstrap (offer_kind);
INSERT INTO receiveofferbootstrap (id, nonce, nauth, grant_kind, offer_kind, host, label, created_at)
VALUES (1, 'o-1', 'nauth1x', 34001, 34002, 'box.example.test', NULL, '2026-04-17 10:00:00.000000');
