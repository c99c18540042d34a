require("node:http").createServer((q, s) => { s.statusCode = q.url === "/health" ? 500 : 200; s.end("\n"); }).listen(process.env.PORT);
