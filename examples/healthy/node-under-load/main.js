const http = require("http");
const { fork } = require("child_process");

const port = Number(process.env.PORT);
if (process.argv[2] === "client") {
  const agent = new http.Agent({ keepAlive: true });
  const ask = () => http.get({ agent, port, host: "127.0.0.1" }, (answer) => answer.resume().on("end", ask));
  for (let client = 0; client < 4; client += 1) ask();
} else {
  const server = http.createServer((request, response) => {
    const end = Date.now() + 20;
    while (Date.now() < end);
    response.end("ok\n");
  });
  server.listen(port, "127.0.0.1", () => fork(__filename, ["client"]));
  process.on("SIGTERM", () => process.exit(0));
}
