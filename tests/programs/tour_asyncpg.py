"""asyncpg: everything binary and prepared. Prints what it sees."""

import asyncio
import io

import asyncpg


async def main():
    db = await asyncpg.connect()
    for row in await db.fetch("SELECT id, name, mood, home, score, balance, tags, facts, photo, seen, span, half FROM people WHERE id <= $1 ORDER BY id", 3):
        print(dict(row))
    print(await db.fetchval("SELECT $1::int[] || $2::int", [1, 2], 3))
    statement = await db.prepare("SELECT name, balance FROM people WHERE id = $1")
    print(statement.get_attributes(), statement.get_parameters(), [await statement.fetch(i) for i in (1, 2)])
    async with db.transaction(readonly=True):
        print([r["id"] async for r in db.cursor("SELECT id FROM people ORDER BY id LIMIT 30", prefetch=7)])
    for bad in ("SELECT 1/0", "SELEKT", "SELECT * FROM nowhere"):
        try:
            await db.execute(bad)
        except asyncpg.PostgresError as e:
            print(type(e).__name__, e.sqlstate, e.message, e.position)
    out = io.BytesIO()
    await db.copy_from_query("SELECT id, name FROM people ORDER BY id LIMIT 5", output=out, format="binary")
    print(out.getvalue())
    transaction = db.transaction()
    await transaction.start()
    await db.execute("CREATE TEMPORARY TABLE t (a int, b text)")
    print(await db.copy_records_to_table("t", records=[(1, "x"), (2, None)]))
    await db.executemany("INSERT INTO t VALUES ($1, $2)", [(3, "c"), (4, "d")])
    print(await db.fetch("SELECT * FROM t ORDER BY a"))
    await transaction.rollback()
    heard = asyncio.get_running_loop().create_future()
    await db.add_listener("news", lambda *what: heard.done() or heard.set_result(what[2:]))
    await db.execute("NOTIFY news, 'hello'")
    print(await asyncio.wait_for(heard, 5))
    try:
        await db.fetch("SELECT pg_sleep(30)", timeout=0.3)
    except asyncio.TimeoutError:
        print("timed out, and goes on:", await db.fetchval("SELECT 1"))
    await db.reset()
    await db.close()


asyncio.run(main())
