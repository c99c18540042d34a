require("node:http").createServer((q, s) => s.end("ok\n")).listen(process.env.PORT);
