const fs = require("fs");

process.on("SIGTERM", () => process.exit(0));
fs.writeFileSync("target", String(process.pid));
setTimeout(() => {
  fs.writeFileSync("ready", "");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}, 100);
