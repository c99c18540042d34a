'use strict';

const fs = require('node:fs');
const path = require('node:path');
const express = require('express');

const app = express();
app.disable('x-powered-by');

app.get('/', (req, res) => {
  res.type('text').send(`Hello from ${process.env.GREETING || 'Node.js'}, instance ${process.env.CF_INSTANCE_INDEX || '0'}\n`);
});
app.get('/version', (req, res) => {
  res.type('text').send(fs.readFileSync(path.join(__dirname, 'version.txt'), 'utf8'));
});
app.get('/health', (req, res) => res.type('text').send('ok\n'));
app.get('/env/:name', (req, res) => res.type('text').send(`${process.env[req.params.name] ?? ''}\n`));
app.get('/pid', (req, res) => res.json({ pid: process.pid, execArgv: process.execArgv, heap: require('node:v8').getHeapStatistics().heap_size_limit }));
// Answers after so many milliseconds, for tests of draining.
app.get('/slow/:ms', (req, res) => {
  setTimeout(() => res.type('text').send('done\n'), Math.min(Number(req.params.ms) || 0, 60000));
});
app.get('/exit/:code', (req, res) => {
  res.type('text').send('bye\n');
  setImmediate(() => process.exit(Number(req.params.code) || 0));
});

const server = app.listen(Number(process.env.PORT) || 8080, '0.0.0.0', () => {
  console.log(`listening on ${server.address().port}`);
});

process.on('SIGTERM', () => {
  console.log('SIGTERM: finishing requests');
  server.close(() => {
    console.log('bye');
    process.exit(0);
  });
  server.closeIdleConnections();
});
