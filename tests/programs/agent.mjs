// An agent without a model: it knows what it wants, finds the table, repairs what is refused by the hint alone, asks where a person
// has to answer, and waits. It speaks MCP by standard input and output with any server, and counts what a model would read.
//   node agent.mjs WAY -- COMMAND ARGUMENT…        WAY: durward, dbhub, henkey
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

// Each server's own names for the same: finding a table by a word, its columns, and a statement.
const WAYS = {
  durward: {
    find: word => [['targets', {}], ['describe', { target: 'sample', search: word }], ['describe', { target: 'sample', table: `public.${word}` }]],
    sql: sql => ['query', { target: 'sample', sql }],
  },
  dbhub: {
    find: word => [
      ['search_objects', { object_type: 'table', pattern: `%${word}%` }],
      ['search_objects', { object_type: 'column', schema: 'public', table: word, pattern: '%', detail_level: 'full' }],
    ],
    sql: sql => ['execute_sql', { sql }],
  },
  henkey: {
    find: word => [['pg_manage_schema', { operation: 'get_info' }], ['pg_manage_schema', { operation: 'get_info', tableName: word }]],
    sql: (sql, writes) => writes ? ['pg_execute_sql', { sql }] : ['pg_execute_query', { operation: 'select', query: sql }],
  },
};

// A tokenizer that models use, where it is installed; else a count that is above theirs.
const require = createRequire(`${process.env.DURWARD_MCP ?? process.cwd()}/package.json`);
let encode;
try {
  ({ encode } = require('gpt-tokenizer'));
} catch {
  encode = text => text.match(/[\p{L}\p{N}]{1,6}|[^\s\p{L}\p{N}]/gu) ?? [];
}
const tokens = text => encode(text).length;

const [way, , command, ...args] = process.argv.slice(2);
const { find, sql } = WAYS[way];
const server = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
const waiting = new Map();
createInterface({ input: server.stdout }).on('line', line => {
  let message;
  try { message = JSON.parse(line); } catch { return; }
  waiting.get(message.id)?.(message);
});
server.on('exit', code => { if (!done) { console.error(`the server ended with ${code}`); process.exit(1); } });

let id = 0;
let done = false;
const ask = (method, params) => new Promise((resolve, reject) => {
  id += 1;
  waiting.set(id, message => message.error ? reject(new Error(JSON.stringify(message.error))) : resolve(message.result));
  server.stdin.write(JSON.stringify({ jsonrpc: '2.0', id, method, params }) + '\n');
});

const hello = await ask('initialize', {
  protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 'scripted-agent', version: '1' },
});
server.stdin.write(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' }) + '\n');
const { tools } = await ask('tools/list', {});
const read = tools.map(({ name, description, inputSchema }) => JSON.stringify({ name, description, inputSchema })).join('\n');
const count = { tools: tokens(read) + tokens(hello.instructions ?? ''), calls: 0, answers: 0, turns: 0 };

// Calls a tool and gives the text that a model reads of its answer.
const call = async ([name, given]) => {
  const said = await ask('tools/call', { name, arguments: given });
  const text = said.content.filter(part => part.type === 'text').map(part => part.text).join('\n');
  console.log(`> ${name} ${JSON.stringify(given)}\n${text}\n`);
  count.turns += 1;
  count.calls += tokens(`${name} ${JSON.stringify(given)}`);
  count.answers += tokens(text);
  return { text, failed: said.isError === true };
};
// A statement; where it is refused for a column, the part of it with that column is left out if the hint says so. Where a person has
// to answer, they are waited for.
const run = async (text, writes) => {
  let answer = await call(sql(text, writes));
  const column = /using \S* ?\S+\.(\w+) other than/.exec(answer.text)?.[1];
  if (answer.failed && column && /leave it out/.test(answer.text)) {
    const repaired = text.replace(new RegExp(`\\s*\\b${column}\\b [^']*'[^']*' AND`), '');
    answer = await call(sql(repaired, writes));
  }
  for (let tries = 0; tries < 5 && /\br[0-9a-f]{10}\b/.test(answer.text) && answer.failed; tries += 1) {
    answer = await call(['wait', { request: /\br[0-9a-f]{10}\b/.exec(answer.text)[0] }]);
  }
  if (answer.failed) throw new Error(answer.text);
  return answer.text;
};

for (const step of find('shop')) await call(step);
const before = await run("SELECT id, email, total FROM shop WHERE email LIKE 'p7@%' AND id = 7");
await run('UPDATE shop SET total = 70 WHERE id = 7', true);
const after = await run('SELECT id, total FROM shop WHERE id = 7');
if (!/\b7\b/.test(before) || !/\b70\b/.test(after)) throw new Error('the task is not done');
done = true;
console.log(JSON.stringify({ way, ...count, all: count.tools + count.calls + count.answers }));
server.stdin.end();
server.kill();
