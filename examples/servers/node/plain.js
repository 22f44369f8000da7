// Node's own HTTP server, as most begin it: nothing is done about signals.
const http = require('node:http');

http.createServer((request, response) => {
  setTimeout(() => {
    const body = `hello from node-plain ${process.pid}\n`;
    response.writeHead(200, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body) });
    response.end(body);
  }, Math.random() * 50);
}).listen(Number(process.env.PORT), '127.0.0.1');
