const cluster = require("cluster");
const http = require("http");

if (cluster.isPrimary) {
  const workers = [cluster.fork(), cluster.fork()];
  process.on("SIGTERM", () => workers.forEach((worker) => worker.process.kill("SIGTERM")));
  cluster.on("exit", () => Object.keys(cluster.workers).length === 0 && process.exit(0));
} else {
  const server = http.createServer((request, response) => response.end("ok\n"));
  server.listen(Number(process.env.PORT), "127.0.0.1");
  process.on("SIGTERM", () => process.exit(0));
}
