'use strict';

const { connect, StringCodec } = require('nats');

module.exports = (c) => {
  const text = StringCodec();
  const use = async (fn) => {
    const connection = await connect({
      servers: `${c.host}:${c.port}`, user: c.username, pass: c.password, tls: { ca: c.ca_certificate }, timeout: 5000, reconnect: false,
    });
    try {
      const manager = await connection.jetstreamManager();
      await manager.streams.add({ name: 'CANARY', subjects: ['canary'], storage: 'file' });
      return await fn(connection, manager);
    } finally {
      await connection.close();
    }
  };
  return {
    write: (value) => use((connection) => connection.jetstream().publish('canary', text.encode(value))),
    read: () => use(async (_, manager) => text.decode((await manager.streams.getMessage('CANARY', { last_by_subj: 'canary' })).data)),
  };
};
