-- What the corpus's revisions start from: the schema of a shop in production.
CREATE TYPE order_state AS ENUM ('new', 'paid', 'sent');
-- As the extension uuid-ossp has it.
CREATE FUNCTION uuid_generate_v4() RETURNS uuid LANGUAGE sql VOLATILE AS 'SELECT gen_random_uuid()';
CREATE DOMAIN positive_int AS integer CHECK (VALUE > 0);
CREATE TABLE organizations (
    id serial PRIMARY KEY, name text NOT NULL, slug text NOT NULL, plan varchar(20), seats positive_int,
    CONSTRAINT uq_organizations_slug UNIQUE (slug)
);
CREATE TABLE users (
    id serial PRIMARY KEY, email varchar(255) NOT NULL, name varchar(100), phone text, age integer, bio text,
    status varchar(20) NOT NULL DEFAULT 'active', settings json, last_login timestamp,
    nickname varchar(100), contact varchar(255) NOT NULL DEFAULT '',
    created_at timestamp NOT NULL DEFAULT now(),
    organization_id integer REFERENCES organizations (id),
    CONSTRAINT uq_users_email UNIQUE (email)
);
CREATE TABLE orders (
    id serial PRIMARY KEY, user_id integer NOT NULL CONSTRAINT fk_orders_user REFERENCES users (id),
    status text NOT NULL, state order_state NOT NULL DEFAULT 'new', total numeric(10, 2), note varchar(50),
    payload jsonb, parent_id integer, tracking_code text, created_at timestamptz DEFAULT now(),
    CONSTRAINT ck_orders_total CHECK (total >= 0)
);
CREATE INDEX ix_orders_user_id ON orders (user_id);
CREATE TABLE items (
    id serial PRIMARY KEY, order_id integer NOT NULL, sku varchar(40), quantity integer NOT NULL DEFAULT 1,
    price numeric, weight numeric(10, 2), label varchar(40)
);
CREATE INDEX ix_items_sku ON items (sku);
CREATE TABLE sessions (id serial PRIMARY KEY, token text, kind varchar(20) NOT NULL DEFAULT 'web', user_id integer, expires_at timestamptz);
CREATE TABLE audit_log (id bigserial PRIMARY KEY, entry text, created_at timestamptz DEFAULT now());
CREATE TABLE feature_flags (id serial PRIMARY KEY, key text NOT NULL UNIQUE, enabled boolean NOT NULL DEFAULT false);
CREATE TABLE events (id bigint NOT NULL, kind text, occurred_at timestamptz NOT NULL) PARTITION BY RANGE (occurred_at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE events_2025 (id bigint NOT NULL, kind text, occurred_at timestamptz NOT NULL);
CREATE VIEW active_users AS SELECT id, email, name FROM users WHERE status = 'active';
CREATE MATERIALIZED VIEW user_totals AS SELECT user_id, sum(total) AS total FROM orders GROUP BY user_id;
CREATE UNIQUE INDEX uq_user_totals ON user_totals (user_id);
CREATE FUNCTION price_with_tax(price numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT price * 1.19';
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE SEQUENCE invoice_numbers;
CREATE TABLE invoices (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, number bigint NOT NULL, currency char(3));
