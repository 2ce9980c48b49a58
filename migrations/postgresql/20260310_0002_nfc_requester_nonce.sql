-- +migrate Up
CREATE TABLE nfcrequesternonce (
    id               serial                      NOT NULL,
    requester_pubkey character varying           NOT NULL,
    flow             character varying           NOT NULL,
    nonce            character varying           NOT NULL,
    requester_ts     integer                     NOT NULL,
    used_at          timestamp without time zone NOT NULL,
    CONSTRAINT nfcrequesternonce_pkey PRIMARY KEY (id),
    CONSTRAINT uq_nfc_requester_nonce UNIQUE (requester_pubkey, flow, nonce)
);

CREATE INDEX ix_nfcrequesternonce_requester_pubkey ON nfcrequesternonce (requester_pubkey);
CREATE INDEX ix_nfcrequesternonce_flow ON nfcrequesternonce (flow);
CREATE INDEX ix_nfcrequesternonce_nonce ON nfcrequesternonce (nonce);
CREATE INDEX ix_nfcrequesternonce_used_at ON nfcrequesternonce (used_at);

-- +migrate Down
DROP TABLE nfcrequesternonce;
