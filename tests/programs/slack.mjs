// Stands for Slack's Web API, which cannot be reached from here: the two methods, with the checks that Slack makes of them as its
// documents say. Each call that is right is a line of JSON on standard output.
import { createServer } from "node:http";

const messages = new Map();
let count = 0;
const kinds = new Set(["header", "rich_text"]);
function call(method, token, body) {
  if (token !== `Bearer ${process.env.SLACK_TOKEN}`) return { ok: false, error: "invalid_auth" };
  if (!body.text) return { ok: false, error: "no_text" };
  if (!Array.isArray(body.blocks) || body.blocks.length > 50) return { ok: false, error: "invalid_blocks" };
  if (body.blocks.some((block) => !kinds.has(block.type))) return { ok: false, error: "invalid_blocks" };
  if (body.blocks.some((block) => block.type === "header" && block.text.text.length > 150)) return { ok: false, error: "invalid_blocks" };
  if (method === "chat.postMessage") {
    if (body.channel !== "C0123456789") return { ok: false, error: "channel_not_found" };
    const ts = `1700000000.00000${++count}`;
    messages.set(ts, body);
    return { ok: true, channel: body.channel, ts };
  }
  if (method === "chat.update") {
    if (!messages.has(body.ts)) return { ok: false, error: "message_not_found" };
    messages.set(body.ts, body);
    return { ok: true, channel: body.channel, ts: body.ts };
  }
  return { ok: false, error: "unknown_method" };
}
createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    const method = request.url.replace("/api/", "");
    const answer = call(method, request.headers.authorization, JSON.parse(body));
    console.log(JSON.stringify({ method, answer, body: JSON.parse(body) }));
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
  });
}).listen(Number(process.env.SLACK_PORT), "127.0.0.1");
