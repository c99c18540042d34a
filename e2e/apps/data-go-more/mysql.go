package main

import (
	"context"
	"database/sql"

	"github.com/go-sql-driver/mysql"
)

type mysqlRow struct{ *sql.DB }

func newMySQL(c credentials) (row, error) {
	cfg := mysql.NewConfig()
	cfg.Net, cfg.Addr, cfg.DBName, cfg.User, cfg.Passwd, cfg.TLS = "tcp", c.address(), c.Database, c.Username, c.Password, c.tls()
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, err
	}
	return mysqlRow{sql.OpenDB(connector)}, nil
}

func (m mysqlRow) write(ctx context.Context, value string) error {
	if _, err := m.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS canary (id INT PRIMARY KEY, value TEXT)"); err != nil {
		return err
	}
	_, err := m.ExecContext(ctx, "REPLACE INTO canary VALUES (1, ?)", value)
	return err
}

func (m mysqlRow) read(ctx context.Context) (value string, err error) {
	err = m.QueryRowContext(ctx, "SELECT value FROM canary WHERE id = 1").Scan(&value)
	return value, err
}
