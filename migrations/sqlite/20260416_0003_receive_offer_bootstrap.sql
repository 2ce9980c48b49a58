-- +migrate Up
CREATE TABLE receiveofferbootstrap (
    id INTEGER NOT NULL,
    nonce VARCHAR NOT NULL,
    nauth VARCHAR NOT NULL,
    grant_kind INTEGER NOT NULL,
    offer_kind INTEGER NOT NULL,
    host VARCHAR NOT NULL,
    label VARCHAR,
    created_at DATETIME NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (nonce)
);

CREATE INDEX ix_receiveofferbootstrap_nonce ON receiveofferbootstrap (nonce);
CREATE INDEX ix_receiveofferbootstrap_grant_kind ON receiveofferbootstrap (grant_kind);
CREATE INDEX ix_receiveofferbootstrap_offer_kind ON receiveofferbootstrap (offer_kind);

-- +migrate Down
DROP TABLE receiveofferbootstrap;
