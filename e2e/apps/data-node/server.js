'use strict';

// One driver for each service instance that the app is bound to, by the label of its offering. POST /LABEL/row?value=V
// writes the row, GET /LABEL/row reads it, GET /LABEL/user says as whom.

const http = require('node:http');

const drivers = {
  postgres: './postgres.js', mysql: './mysql.js', redis: './redis.js', rabbitmq: './rabbitmq.js', nats: './nats.js',
  objects: './objects.js',
};

const bound = {};
for (const [label, instances] of Object.entries(JSON.parse(process.env.VCAP_SERVICES || '{}'))) {
  if (drivers[label]) {
    const c = instances[0].credentials;
    bound[label] = { user: c.username ?? c.access_key_id, row: require(drivers[label])(c) };
  }
}

async function answer(req) {
  const url = new URL(req.url, 'http://app');
  const [label, what] = url.pathname.slice(1).split('/');
  if (label === 'health') return [200, 'ok'];
  if (label === 'bound') return [200, Object.keys(bound).sort().join(' ')];
  const service = bound[label];
  if (!service) return [404, `not bound to ${label}`];
  if (what === 'user') return [200, service.user];
  if (req.method === 'POST') {
    await service.row.write(url.searchParams.get('value'));
    return [200, 'written'];
  }
  return [200, (await service.row.read()) ?? 'no row'];
}

const server = http.createServer((req, res) => {
  answer(req).catch((err) => [500, `${err.name}: ${err.message}`]).then(([status, text]) => {
    res.writeHead(status, { 'Content-Type': 'text/plain' });
    res.end(`${text}\n`);
  });
});
server.listen(Number(process.env.PORT) || 8080, '0.0.0.0', () => console.log(`listening, bound to ${Object.keys(bound).join(' ')}`));
process.on('SIGTERM', () => server.close(() => process.exit(0)) && server.closeIdleConnections());
