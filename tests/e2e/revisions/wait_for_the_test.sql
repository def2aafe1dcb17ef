CREATE SCHEMA test;
CREATE TABLE test.runs (pid int DEFAULT pg_backend_pid());
CREATE TABLE test.permission ();
CREATE PROCEDURE test.wait() LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT EXISTS (SELECT FROM test.permission) LOOP
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
GRANT USAGE ON SCHEMA test TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA test TO PUBLIC;
