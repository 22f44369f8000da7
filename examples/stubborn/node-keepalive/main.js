const fs = require("fs");
const net = require("net");

// What comes to a plain server is not closed by server.close().
const server = net.createServer((socket) => socket.on("data", () => socket.write("pong\n")));
process.on("SIGTERM", () => server.close());
server.listen(Number(process.env.PORT), "127.0.0.1", () => {
  fs.writeFileSync("target", String(process.pid));
  const child = require("child_process").spawn(process.env.PYTHON, ["-c", `
import socket, sys, time
pool = [socket.create_connection(("127.0.0.1", ${process.env.PORT})) for _ in range(3)]
for one in pool:
    one.sendall(b"ping")
    one.recv(5)
open("ready", "w").close()
time.sleep(1000)
`], { stdio: "inherit" });
  child.unref();
});
