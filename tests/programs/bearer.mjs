// Adds a token to what a client without one sends: bearer.mjs PORT TARGET TOKEN
import http from 'node:http';

const [, , port, target, token] = process.argv;
http.createServer((request, response) => {
  const headers = { ...request.headers, authorization: `Bearer ${token}` };
  const onward = http.request({ host: '127.0.0.1', port: target, method: request.method, path: request.url, headers });
  onward.on('response', (answer) => {
    response.writeHead(answer.statusCode, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  response.on('close', () => onward.destroy());
  request.pipe(onward);
}).listen(Number(port), '127.0.0.1');
