"""What revisions really do: each is run on a scratch PostgreSQL and watched, statement by statement."""
