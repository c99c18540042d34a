'use strict';

const amqp = require('amqplib');

module.exports = (c) => {
  const use = async (fn) => {
    const connection = await amqp.connect(c.uri, { ca: [c.ca_certificate], timeout: 5000 });
    connection.on('error', (err) => console.error(`rabbitmq: ${err.message}`));
    try {
      const channel = await connection.createConfirmChannel();
      await channel.assertQueue('canary', { durable: true });
      return await fn(channel);
    } finally {
      await connection.close(); // what was got without an acknowledgement goes back into the queue
    }
  };
  return {
    write: (value) => use(async (channel) => {
      channel.sendToQueue('canary', Buffer.from(value), { persistent: true });
      await channel.waitForConfirms();
    }),
    read: () => use(async (channel) => (await channel.get('canary'))?.content?.toString()),
  };
};
