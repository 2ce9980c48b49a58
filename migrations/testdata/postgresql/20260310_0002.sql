CREATE TABLE nfcrequesternonce (
    id SERIAL NOT NULL, requester_pubkey VARCHAR NOT NULL, flow VARCHAR NOT NULL, nonce VARCHAR NOT NULL, 
    requester_ts INTEGER NOT NULL, used_at TIMESTAMP WITHOUT TIME ZONE NOT NULL, 
    PRIMARY KEY (id), CONSTRAINT uq_nfc_requester_nonce UNIQUE (requester_pubkey, flow, nonce)
);
CREATE INDEX ix_nfcrequesternonce_requester_pubkey ON nfcrequesternonce (requester_pubkey);
CREATE INDEX ix_nfcrequesternonce_flow ON nfcrequesternonce (flow);
CREATE INDEX ix_nfcrequesternonce_nonce ON nfcrequesternonce (nonce);
CREATE INDEX ix_nfcrequesternonce_used_at ON nfcrequesternonce (used_at);
INSERT INTO nfcrequesternonce (id, requester_pubkey, flow, nonce, requester_ts, used_at)
VALUES (1, 'aa11', 'pay', 'n-1', 1760000000, '2026-03-11 09:30:00.000000');
