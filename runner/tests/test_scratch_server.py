"""The throwaway server itself."""

import psycopg
import pytest
from sage_migrate.scratch_server import ScratchServer


def test_a_restarted_server_takes_connections(server: ScratchServer) -> None:
    """`start` returns when connections work, also the second time, when the log already says so once."""
    with ScratchServer(server.bin_directory) as other:
        other.stop()
        other.start()
        with psycopg.connect(other.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not other.directory.exists()


def test_a_server_that_cannot_start_says_why(server: ScratchServer) -> None:
    """The end of the server's log is in the error, and nothing is left."""
    other = ScratchServer(server.bin_directory, settings={"no_such_setting": "1"})
    with pytest.raises(RuntimeError, match='unrecognized configuration parameter "no_such_setting"'):
        other.__enter__()
    assert not other.directory.exists()
