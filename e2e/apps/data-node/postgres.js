'use strict';

const { Pool } = require('pg');

module.exports = (c) => {
  const pool = new Pool({
    host: c.host, port: c.port, database: c.database, user: c.username, password: c.password,
    ssl: { ca: c.ca_certificate }, max: 4, connectionTimeoutMillis: 5000,
  });
  pool.on('error', (err) => console.error(`postgres: ${err.message}`)); // a connection that was idle; the next is new
  return {
    async write(value) {
      await pool.query('CREATE TABLE IF NOT EXISTS canary (id int PRIMARY KEY, value text)');
      await pool.query('INSERT INTO canary VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET value = excluded.value', [value]);
    },
    async read() {
      const { rows } = await pool.query('SELECT value FROM canary WHERE id = 1');
      return rows[0]?.value;
    },
  };
};
