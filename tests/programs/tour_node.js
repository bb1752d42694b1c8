// node-postgres: simple and prepared, errors, notices, notifications. Prints what it sees.
const { Client } = require("pg");

(async () => {
  const db = new Client();
  db.on("notice", (n) => console.log("notice", n.severity, n.message));
  db.on("notification", (n) => console.log("notification", n.channel, n.payload));
  await db.connect();
  const read = "SELECT id, name, mood, home, score, balance, tags, facts, photo, seen, span, half FROM people WHERE id";
  const all = await db.query(`${read} <= 3 ORDER BY id`);
  console.log(all.command, all.rowCount, JSON.stringify(all.fields.map((f) => [f.name, f.dataTypeID, f.format])));
  console.log(JSON.stringify(all.rows));
  for (const id of [4, 5]) {
    const one = await db.query({ name: "one", text: `${read} = $1`, values: [id] });
    console.log(JSON.stringify(one.rows));
  }
  const several = await db.query("SELECT 1 AS a; SELECT 2 AS b");
  console.log(JSON.stringify(several.map((r) => r.rows)));
  for (const bad of ["SELECT 1/0", "SELEKT", "SELECT * FROM nowhere"]) {
    await db.query(bad).catch((e) => console.log(e.code, e.message, e.position));
  }
  await db.query("DO $$ BEGIN RAISE NOTICE 'hello'; END $$");
  await db.query("LISTEN news");
  await db.query("NOTIFY news, 'hello'");
  await db.query("BEGIN");
  await db.query("SELECT 1/0").catch(() => undefined);
  await db.query("SELECT 1").catch((e) => console.log(e.code));
  await db.query("ROLLBACK");
  await db.end();
})();
