package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Row is a usage event, reduced to what its price depends on.
type Row struct {
	Identity [16]byte
	Account  string
	Meter    int
	Units    int64
}

// Tiers are the graduated prices of a meter.
type Tiers struct {
	UpTo  [2]int64
	Price [3]int64
}

// Reset makes the tables anew, with the prices of meters 0 to len-1, and a
// staging table for each connection.
func Reset(ctx context.Context, address string, meters []Tiers, connections int) (err error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	statements := []string{
		"DROP TABLE IF EXISTS subtotals, seen, positions",
		"DROP FUNCTION IF EXISTS price",
		"CREATE TABLE seen (identity uuid PRIMARY KEY)",
		`CREATE TABLE subtotals (account text, meter smallint, units bigint NOT NULL, amount bigint NOT NULL, events bigint NOT NULL,
			PRIMARY KEY (account, meter))`,
		"CREATE TABLE positions (lane int PRIMARY KEY, events bigint NOT NULL)",
		priceFunction(meters),
	}
	for n := range connections {
		statements = append(statements,
			fmt.Sprintf("DROP TABLE IF EXISTS staging_%d", n),
			fmt.Sprintf("CREATE UNLOGGED TABLE staging_%d (identity uuid, account text, meter smallint, units bigint)", n))
	}
	statements = append(statements, "CHECKPOINT")
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("postgres: %w in %s", err, s)
		}
	}
	return nil
}

// priceFunction prices units by constants, which the planner writes into the
// statement where it is called: no table is read for it.
func priceFunction(meters []Tiers) string {
	list := func(value func(Tiers) int64) string {
		var b strings.Builder
		for i, t := range meters {
			fmt.Fprintf(&b, "%s%d", ","[:min(i, 1)], value(t))
		}
		return "('{" + b.String() + "}'::bigint[])[meter + 1]"
	}
	first, second := list(func(t Tiers) int64 { return t.UpTo[0] }), list(func(t Tiers) int64 { return t.UpTo[1] })
	return fmt.Sprintf(`CREATE FUNCTION price(meter smallint, units bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
		SELECT least(units, %[1]s) * %[3]s + greatest(0, least(units, %[2]s) - %[1]s) * %[4]s + greatest(0, units - %[2]s) * %[5]s $$`,
		first, second, list(func(t Tiers) int64 { return t.Price[0] }), list(func(t Tiers) int64 { return t.Price[1] }),
		list(func(t Tiers) int64 { return t.Price[2] }))
}

// Loader is one connection that takes batches. It belongs to one goroutine.
type Loader struct {
	conn   *pgx.Conn
	lane   int
	total  int64
	body   bytes.Buffer
	copyIn string
	empty  string
	fold   string
	note   string
}

// Open connects. Loaders of different lanes take different accounts.
func Open(ctx context.Context, address string, lane int, synchronous bool) (*Loader, error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	setting := map[bool]string{true: "on", false: "off"}[synchronous]
	if _, err := conn.Exec(ctx, "SET synchronous_commit = "+setting); err != nil {
		return nil, fmt.Errorf("postgres: %w", errors.Join(err, conn.Close(ctx)))
	}
	staging := fmt.Sprintf("staging_%d", lane)
	return &Loader{
		conn: conn, lane: lane,
		copyIn: "COPY " + staging + " FROM STDIN BINARY",
		empty:  "TRUNCATE " + staging,
		fold: `WITH fresh AS (INSERT INTO seen SELECT identity FROM ` + staging + ` ON CONFLICT DO NOTHING RETURNING identity),
			sums AS (SELECT account, meter, sum(units)::bigint AS units, count(*) AS events FROM ` + staging + ` JOIN fresh USING (identity) GROUP BY account, meter)
			INSERT INTO subtotals AS t SELECT account, meter, units, price(meter, units), events FROM sums
			ON CONFLICT (account, meter) DO UPDATE SET units = t.units + excluded.units, events = t.events + excluded.events,
				amount = price(t.meter, t.units + excluded.units)`,
		note: "INSERT INTO positions VALUES ($1, $2) ON CONFLICT (lane) DO UPDATE SET events = excluded.events",
	}, nil
}

// Batch takes rows, none of which has the identity of another, in one
// transaction. Those with an identity that was there before change nothing.
func (l *Loader) Batch(ctx context.Context, rows []Row) error {
	l.encode(rows)
	l.total += int64(len(rows))
	err := pgx.BeginFunc(ctx, l.conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, l.empty); err != nil {
			return err
		}
		if _, err := tx.Conn().PgConn().CopyFrom(ctx, &l.body, l.copyIn); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, l.fold); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, l.note, l.lane, l.total)
		return err
	})
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	return nil
}

// encode writes rows in the binary form of COPY: a signature, flags and the
// length of an extension, both 0; of each row the number of fields, and of each
// field its length and bytes; and -1.
func (l *Loader) encode(rows []Row) {
	const columns, end = 4, 0xffff
	l.body.Reset()
	b := append(l.body.AvailableBuffer(), "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	for i := range rows {
		r := &rows[i]
		b = binary.BigEndian.AppendUint16(b, columns)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(r.Identity))), r.Identity[:]...)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(r.Account))), r.Account...)
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(b, 2), uint16(r.Meter))
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), uint64(r.Units))
	}
	l.body.Write(binary.BigEndian.AppendUint16(b, end))
}

// Close ends the connection.
func (l *Loader) Close(ctx context.Context) error { return l.conn.Close(ctx) }

// Totals calls fn with what each account owes, by account.
func Totals(ctx context.Context, address string, fn func(account string, amount int64) error) (err error) {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	rows, err := conn.Query(ctx, "SELECT account, sum(amount)::bigint FROM subtotals GROUP BY account ORDER BY account")
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	var account string
	var amount int64
	_, err = pgx.ForEachRow(rows, []any{&account, &amount}, func() error { return fn(account, amount) })
	return err
}
