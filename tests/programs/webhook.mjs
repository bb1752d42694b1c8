// Receives messages of a webhook and checks them with a library that is not ours. Each that is right is a line of JSON on
// standard output; what is wrong is a line that says so. The file REFUSE, while it is there, says with which status.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { existsSync, readFileSync } from "node:fs";
const require = createRequire(process.env.WEBHOOK_NPM + "/");
const { Webhook } = require("standardwebhooks");

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
const refuse = process.env.WEBHOOK_REFUSE;
createServer((request, response) => {
  let body = "";
  request.on("data", (part) => (body += part));
  request.on("end", () => {
    const id = request.headers["webhook-id"];
    let right = true;
    try {
      webhook.verify(body, request.headers);
    } catch (error) {
      right = false;
      console.log(`WRONG ${id} ${error}`);
    }
    const status = existsSync(refuse) ? Number(readFileSync(refuse, "utf8")) : 202;
    if (right) console.log(JSON.stringify({ id, status, message: JSON.parse(body) }));
    response.writeHead(status).end();
  });
}).listen(Number(process.env.WEBHOOK_PORT), "127.0.0.1");
