// An HTTP server on Node's loop, all sockets non-blocking. It handles no signal: SIGTERM ends it in the middle of whatever
// it does.
//
// GET /                    "generation N pid P"
// GET /sleep/MS            the same, MS milliseconds later
// GET /bytes/COUNT/RATE    COUNT bytes, RATE of them a second
// POST /                   the number of bytes in the body
"use strict";
const http = require("node:http");

const WHO = `generation ${process.env.ADIEU_GENERATION} pid ${process.pid}`;

function bytes(response, count, rate) {
  response.setHeader("Content-Length", count);
  const [began, part] = [Date.now(), Math.max(1, Math.floor(rate / 50))];
  let sent = 0;
  const next = () => {
    if (sent >= count) return response.end();
    const chunk = Buffer.alloc(Math.min(part, count - sent), "x");
    sent += chunk.length;
    const wait = Math.max(0, (sent / rate) * 1000 - (Date.now() - began));
    const go = () => setTimeout(next, wait);
    if (response.write(chunk)) go();
    else response.once("drain", go);
  };
  next();
}

http
  .createServer((request, response) => {
    const [, kind, first, second] = request.url.split("/");
    if (request.method === "POST") {
      let got = 0;
      request.on("data", (part) => (got += part.length));
      request.on("end", () => response.end(String(got)));
    } else if (kind === "bytes") {
      bytes(response, Number(first), Number(second));
    } else {
      setTimeout(() => response.end(WHO), kind === "sleep" ? Number(first) : 0);
    }
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
