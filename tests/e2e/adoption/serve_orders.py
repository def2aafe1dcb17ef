"""A service that is not ours: keeps what is posted to it, and lists it, until SIGTERM."""

import asyncio
import json
import os
import re
import signal
from asyncio import StreamReader, StreamWriter

import asyncpg


async def main() -> None:
    """Serve on port 8000."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=4) as pool:

        async def answer(reader: StreamReader, writer: StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if head.startswith("POST"):
                length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
                title = (await reader.readexactly(int(length[1]) if length else 0)).decode()
                insert = "INSERT INTO orders (id, title) VALUES (gen_random_uuid(), $1) RETURNING id"
                content: object = {"id": str(await pool.fetchval(insert, title))}
            else:
                content = [str(row["id"]) for row in await pool.fetch("SELECT id FROM orders LIMIT 5")]
            body = json.dumps(content).encode()
            fields = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close"
            writer.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + body)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, port=8000)
        await stop.wait()
        server.close()
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
