-- +migrate Up
CREATE TABLE receiveofferbootstrap (
    id         serial                      NOT NULL,
    nonce      character varying           NOT NULL,
    nauth      character varying           NOT NULL,
    grant_kind integer                     NOT NULL,
    offer_kind integer                     NOT NULL,
    host       character varying           NOT NULL,
    label      character varying,
    created_at timestamp without time zone NOT NULL,
    CONSTRAINT receiveofferbootstrap_pkey PRIMARY KEY (id),
    CONSTRAINT receiveofferbootstrap_nonce_key UNIQUE (nonce)
);

CREATE INDEX ix_receiveofferbootstrap_nonce ON receiveofferbootstrap (nonce);
CREATE INDEX ix_receiveofferbootstrap_grant_kind ON receiveofferbootstrap (grant_kind);
CREATE INDEX ix_receiveofferbootstrap_offer_kind ON receiveofferbootstrap (offer_kind);

-- +migrate Down
DROP TABLE receiveofferbootstrap;
