'use strict';

const Redis = require('ioredis');

module.exports = (c) => {
  const redis = new Redis({
    host: c.host, port: c.port, username: c.username, password: c.password, tls: { ca: c.ca_certificate },
    connectTimeout: 5000, maxRetriesPerRequest: 1,
  });
  redis.on('error', (err) => console.error(`redis: ${err.message}`)); // it connects again by itself
  return { write: (value) => redis.set('canary', value), read: () => redis.get('canary') };
};
