// In a model's place, for programs with agents in them: it asks for one call of the gateway's tool `query`, and then says what came
// of it. It speaks as three vendors do, and only as far as those programs need. Arguments: its port, the target, the SQL.
import { createServer } from 'node:http';

const [port, target, sql] = process.argv.slice(2);
const call = JSON.stringify({ target, sql });
const tool = (names) => names.find((name) => /durward.*query$/.test(name ?? ''));
const said = (result) => `RESULT ${typeof result === 'string' ? result : JSON.stringify(result)}`;

// https://docs.anthropic.com/en/api/messages-streaming
const messages = (asked, send) => {
  const last = asked.messages?.at(-1)?.content;
  const result = Array.isArray(last) ? last.find(({ type }) => type === 'tool_result') : undefined;
  const name = tool((asked.tools ?? []).map((one) => one.name));
  const event = (type, more) => send(type, { type, ...more });
  const usage = { input_tokens: 1, output_tokens: 1 };
  event('message_start', { message: { id: 'm', type: 'message', role: 'assistant', model: asked.model, content: [], stop_reason: null, stop_sequence: null, usage } });
  const calls = name && !result;
  const block = calls ? { type: 'tool_use', id: 'toolu_1', name, input: {} } : { type: 'text', text: '' };
  event('content_block_start', { index: 0, content_block: block });
  const delta = calls
    ? { type: 'input_json_delta', partial_json: call }
    : { type: 'text_delta', text: result ? said(result.content) : 'there is no such tool' };
  event('content_block_delta', { index: 0, delta });
  event('content_block_stop', { index: 0 });
  event('message_delta', { delta: { stop_reason: calls ? 'tool_use' : 'end_turn', stop_sequence: null }, usage });
  event('message_stop', {});
};

// https://platform.openai.com/docs/api-reference/chat-streaming
const completions = (asked, send) => {
  const last = asked.messages?.at(-1);
  const name = tool((asked.tools ?? []).map((one) => one.function?.name));
  const calls = name && last?.role !== 'tool';
  const chunk = (delta, reason = null) => send(undefined, { id: 'c', object: 'chat.completion.chunk', created: 1, model: asked.model, choices: [{ index: 0, delta, finish_reason: reason }] });
  if (calls) chunk({ role: 'assistant', tool_calls: [{ index: 0, id: 'call_1', type: 'function', function: { name, arguments: call } }] });
  else chunk({ role: 'assistant', content: last?.role === 'tool' ? said(last.content) : 'there is no such tool' });
  chunk({}, calls ? 'tool_calls' : 'stop');
  send(undefined, '[DONE]');
};

// https://platform.openai.com/docs/api-reference/responses-streaming
const responses = (asked, send) => {
  const result = (asked.input ?? []).findLast?.(({ type }) => type === 'function_call_output');
  // Tools of one server may stand together, under its name.
  const spaces = (asked.tools ?? []).flatMap((one) => (one.tools ?? [one]).map((inner) => ({ space: one.tools ? one.name : undefined, name: inner.name })));
  const found = spaces.find(({ space, name }) => tool([`${space ?? ''}__${name}`]));
  const item = found && !result
    ? { type: 'function_call', id: 'fc_1', call_id: 'call_1', name: found.name, ...(found.space && { namespace: found.space }), arguments: call, status: 'completed' }
    : { type: 'message', id: 'msg_1', role: 'assistant', status: 'completed', content: [{ type: 'output_text', text: result ? said(result.output) : `there is no such tool among ${JSON.stringify(spaces)}`, annotations: [] }] };
  const event = (type, more) => send(type, { type, ...more });
  event('response.created', { response: { id: 'r', object: 'response', status: 'in_progress', output: [] } });
  event('response.output_item.added', { output_index: 0, item });
  event('response.output_item.done', { output_index: 0, item });
  const usage = { input_tokens: 1, input_tokens_details: null, output_tokens: 1, output_tokens_details: null, total_tokens: 2 };
  event('response.completed', { response: { id: 'r', object: 'response', status: 'completed', output: [item], usage } });
};

createServer(async (request, response) => {
  let body = '';
  for await (const part of request) body += part;
  const { pathname } = new URL(request.url, 'http://127.0.0.1');
  const speak = { '/v1/messages': messages, '/v1/chat/completions': completions, '/v1/responses': responses }[pathname];
  if (request.method !== 'POST' || !speak) {
    response.setHeader('content-type', 'application/json');
    return response.end('{"data":[],"models":[],"input_tokens":1}');
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  speak(JSON.parse(body), (name, data) => {
    const text = typeof data === 'string' ? data : JSON.stringify(data);
    response.write(`${name ? `event: ${name}\n` : ''}data: ${text}\n\n`);
  });
  return response.end();
}).listen(Number(port), '127.0.0.1');
