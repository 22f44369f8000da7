// Node's own HTTP server, ended as its documentation shows.
const http = require('node:http');

const server = http.createServer((request, response) => {
  setTimeout(() => {
    const body = `hello from node ${process.pid}\n`;
    response.setHeader('Content-Type', 'text/plain');
    response.setHeader('Content-Length', Buffer.byteLength(body));
    response.end(body);
  }, Math.random() * 50);
});

process.on('SIGTERM', () => server.close());

server.listen(Number(process.env.PORT), '127.0.0.1');
