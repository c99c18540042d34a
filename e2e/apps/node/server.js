'use strict';
// A small HTTP server that shows what the platform gives it.
const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const ms = require('ms');

const started = Date.now();
const text = (res, status, body) => {
  res.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  res.end(body + '\n');
};

const server = http.createServer((req, res) => {
  const { pathname } = new URL(req.url, 'http://app');
  console.log(`${req.method} ${pathname}`);
  if (pathname === '/version') {
    return text(res, 200, fs.readFileSync(path.join(__dirname, 'version.txt'), 'utf8').trim());
  }
  if (pathname.startsWith('/env/')) {
    return text(res, 200, process.env[pathname.slice('/env/'.length)] ?? '');
  }
  text(res, 200, `Hello from instance ${process.env.CF_INSTANCE_INDEX ?? '?'}, up for ${ms(Date.now() - started)}.`);
});

server.listen(process.env.PORT || 8080, () => console.log('listening'));
process.on('SIGTERM', () => {
  console.log('SIGTERM: ending what is in flight');
  server.close(() => process.exit(0));
});
