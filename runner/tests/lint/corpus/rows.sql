-- Rows enough that work in proportion to a table shows.
INSERT INTO organizations (name, slug, plan) SELECT 'org ' || n, 'org-' || n, 'free' FROM generate_series(1, 300) AS n;
INSERT INTO users (email, name, phone, age, bio, status, settings, organization_id)
    SELECT 'u' || n || '@example.org', 'user number ' || n, CASE WHEN n % 3 > 0 THEN '+49 ' || n END, 20 + n % 60, 'bio', 'active', '{"a": 1}', 1 + n % 300
    FROM generate_series(1, 600) AS n;
INSERT INTO orders (user_id, state, status, total, note, payload, tracking_code)
    SELECT 1 + n % 600, (CASE WHEN n % 5 = 0 THEN 'paid' ELSE 'new' END)::order_state, CASE WHEN n % 10 = 0 THEN 'legacy' ELSE 'open' END, n + 0.5, 'a note of more than ten characters', '{}', 'code-' || n
    FROM generate_series(1, 600) AS n;
INSERT INTO items (order_id, sku, quantity, price, weight) SELECT 1 + n % 600, 'sku ' || n, n, n, n + 0.25 FROM generate_series(1, 600) AS n;
INSERT INTO sessions (token, user_id, expires_at) SELECT n::text, 1 + n % 600, now() FROM generate_series(1, 600) AS n;
INSERT INTO audit_log (entry) SELECT n::text FROM generate_series(1, 600) AS n;
INSERT INTO feature_flags (key) SELECT 'flag ' || n FROM generate_series(1, 300) AS n;
INSERT INTO events SELECT n, 'kind', '2024-06-01' FROM generate_series(1, 300) AS n;
INSERT INTO events_2025 SELECT n, 'kind', '2025-06-01' FROM generate_series(1, 300) AS n;
REFRESH MATERIALIZED VIEW user_totals;
INSERT INTO invoices (number, currency) SELECT n, 'EUR' FROM generate_series(1, 300) AS n;
