-- +migrate Up
CREATE TABLE registeredsafebox (
    id              serial            NOT NULL,
    handle          character varying NOT NULL,
    custom_handle   character varying,
    npub            character varying NOT NULL,
    nsec            character varying,
    home_relay      character varying NOT NULL,
    onboard_code    character varying NOT NULL,
    access_key      character varying,
    balance         integer           NOT NULL,
    owner           character varying,
    session_nonce   character varying,
    emergency_code  character varying,
    currency_code   character varying,
    CONSTRAINT registeredsafebox_pkey PRIMARY KEY (id),
    CONSTRAINT registeredsafebox_custom_handle_key UNIQUE (custom_handle),
    CONSTRAINT registeredsafebox_emergency_code_key UNIQUE (emergency_code)
);

CREATE TABLE paymentquote (
    id     serial            NOT NULL,
    nsec   character varying NOT NULL,
    handle character varying NOT NULL,
    quote  character varying NOT NULL,
    amount integer           NOT NULL,
    mint   character varying NOT NULL,
    paid   boolean           NOT NULL,
    CONSTRAINT paymentquote_pkey PRIMARY KEY (id)
);

CREATE TABLE currencyrate (
    currency_code        character varying NOT NULL,
    currency_rate        double precision,
    currency_symbol      character varying,
    currency_description character varying,
    refresh_time         timestamp without time zone,
    fractional_unit      character varying,
    number_to_base       integer,
    CONSTRAINT currencyrate_pkey PRIMARY KEY (currency_code)
);

CREATE TABLE nwcevent (
    id       serial            NOT NULL,
    event_id character varying NOT NULL,
    CONSTRAINT nwcevent_pkey PRIMARY KEY (id),
    CONSTRAINT nwcevent_event_id_key UNIQUE (event_id)
);

CREATE TABLE nwcsecret (
    id         serial            NOT NULL,
    nwc_secret character varying NOT NULL,
    npub       character varying NOT NULL,
    CONSTRAINT nwcsecret_pkey PRIMARY KEY (id),
    CONSTRAINT nwcsecret_nwc_secret_key UNIQUE (nwc_secret)
);

CREATE INDEX ix_registeredsafebox_handle ON registeredsafebox (handle);
CREATE INDEX ix_registeredsafebox_npub ON registeredsafebox (npub);
CREATE INDEX ix_registeredsafebox_access_key ON registeredsafebox (access_key);
CREATE UNIQUE INDEX uq_registeredsafebox_handle ON registeredsafebox (handle);
CREATE UNIQUE INDEX uq_registeredsafebox_npub ON registeredsafebox (npub);
CREATE UNIQUE INDEX uq_registeredsafebox_access_key ON registeredsafebox (access_key) WHERE access_key IS NOT NULL;

-- +migrate Down
DROP TABLE nwcsecret;
DROP TABLE nwcevent;
DROP TABLE currencyrate;
DROP TABLE paymentquote;
DROP TABLE registeredsafebox;
