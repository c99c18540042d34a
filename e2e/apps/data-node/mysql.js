'use strict';

const mysql = require('mysql2/promise');

module.exports = (c) => {
  const pool = mysql.createPool({
    host: c.host, port: c.port, database: c.database, user: c.username, password: c.password,
    ssl: { ca: c.ca_certificate }, connectionLimit: 4, connectTimeout: 5000,
  });
  return {
    async write(value) {
      await pool.query('CREATE TABLE IF NOT EXISTS canary (id INT PRIMARY KEY, value TEXT)');
      await pool.execute('REPLACE INTO canary VALUES (1, ?)', [value]);
    },
    async read() {
      const [rows] = await pool.query('SELECT value FROM canary WHERE id = 1');
      return rows[0]?.value;
    },
  };
};
