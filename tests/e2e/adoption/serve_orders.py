"""A service that is not ours: keeps what is sent to it, and shows it, until SIGTERM."""

import asyncio
import json
import os
import re
import signal
from asyncio import StreamReader, StreamWriter
from uuid import UUID

import asyncpg


async def main() -> None:
    """Serve on port 8000."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=4) as pool:

        async def answer(reader: StreamReader, writer: StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            order = path.partition("?")[0].removeprefix("/orders").strip("/")
            length = re.search(r"(?i)^content-length: *(\d+)", head, re.MULTILINE)
            title = json.loads(await reader.readexactly(int(length[1]))).get("title") if length else None
            if method == "POST":
                insert = "INSERT INTO orders (id, title) VALUES (gen_random_uuid(), $1) RETURNING id"
                content: object = {"id": str(await pool.fetchval(insert, title))}
            elif method == "PATCH":
                content = await pool.execute("UPDATE orders SET title = $2 WHERE id = $1", UUID(order), title)
            elif order:
                content = {"title": await pool.fetchval("SELECT title FROM orders WHERE id = $1", UUID(order))}
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
