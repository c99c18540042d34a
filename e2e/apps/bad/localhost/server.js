require("node:http").createServer((q, s) => s.end("ok\n")).listen(process.env.PORT, "127.0.0.1");
