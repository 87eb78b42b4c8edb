package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The baseline that most systems have: a row for what happened, and a counter that says what it comes to, in one
// transaction, on disk before it counts (synchronous_commit). The schema is dropped afterwards.
const (
	postgresTables = `
CREATE SCHEMA ledgerbench;
CREATE TABLE ledgerbench.readings (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider text NOT NULL, company text NOT NULL, agent text NOT NULL, meter text NOT NULL, value numeric NOT NULL, at timestamptz NOT NULL
);
CREATE TABLE ledgerbench.usage (agent text, meter text, sum numeric NOT NULL, count bigint NOT NULL, PRIMARY KEY (agent, meter));
CREATE TABLE ledgerbench.license_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider text NOT NULL, endpoint text NOT NULL, kind text NOT NULL, data jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE ledgerbench.counters (provider text, company text, used bigint NOT NULL, PRIMARY KEY (provider, company));
`
	postgresDrop    = `DROP SCHEMA IF EXISTS ledgerbench CASCADE`
	insertReading   = `INSERT INTO ledgerbench.readings (provider, company, agent, meter, value, at) VALUES ($1, $2, $3, $4, $5::bigint, $6)`
	countReading    = `INSERT INTO ledgerbench.usage VALUES ($1, $2, $3::bigint, 1) ON CONFLICT (agent, meter) DO UPDATE SET sum = usage.sum + excluded.sum, count = usage.count + 1`
	insertEvent     = `INSERT INTO ledgerbench.license_events (provider, endpoint, kind, data) VALUES ($1, $2, $3, $4)`
	countEvent      = `INSERT INTO ledgerbench.counters VALUES ($1, $2, $3) ON CONFLICT (provider, company) DO UPDATE SET used = counters.used + excluded.used`
	postgresWorkers = 64
)

// database is the user's, with the baseline's tables in it.
type database struct{ pool *pgxpool.Pool }

func openDatabase(ctx context.Context, url string) (*database, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = postgresWorkers
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	d := &database{pool}
	var fsync string
	err = pool.QueryRow(ctx, "SHOW fsync").Scan(&fsync)
	if err == nil && fsync != "on" {
		err = errors.New("the server runs without fsync: what it acknowledges may be lost")
	}
	if err == nil {
		_, err = pool.Exec(ctx, postgresDrop)
	}
	if err == nil {
		_, err = pool.Exec(ctx, postgresTables)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	return d, nil
}

func (d *database) close(ctx context.Context) error {
	defer d.pool.Close()
	_, err := d.pool.Exec(ctx, postgresDrop)
	return err
}

// transaction runs statements, sent together, as one transaction.
func (d *database) transaction(ctx context.Context, fill func(*pgx.Batch)) error {
	var statements pgx.Batch
	fill(&statements)
	return pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error { return tx.SendBatch(ctx, &statements).Close() })
}

// readings records so many readings of every agent, so many in a transaction.
func (d *database) readings(ctx context.Context, f fleet, each, batch int) error {
	return together(f.agents, func(i int) error {
		s, a := f.series(i), f.agent(i)
		for n := 0; n < each; n += batch {
			err := d.transaction(ctx, func(b *pgx.Batch) {
				// An agent's counters are its own: no two transactions wait for each other.
				for range min(batch, each-n) {
					_, meter, at := s.next(nil)
					value := s.upload
					b.Queue(insertReading, a.provider, a.company, a.id, meter, value, at)
					b.Queue(countReading, a.id, meter, value)
				}
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// commands allocates and releases, as [caller.cycle] does.
func (d *database) commands(ctx context.Context, f fleet, cycles int) error {
	return together(f.agents, func(i int) error {
		a := f.agent(i)
		for range cycles {
			for kind, change := range []int{1, -1} {
				err := d.transaction(ctx, func(b *pgx.Batch) {
					b.Queue(insertEvent, a.provider, a.id, []string{"allocated", "released"}[kind], `{"type":"server","status":"paid"}`)
					b.Queue(countEvent, a.provider, a.company, change)
				})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// inPostgres measures work in fresh tables: n events of it.
func (b *bench) inPostgres(n int, work func(ctx context.Context, d *database) error) func(context.Context, string) (sample, error) {
	return func(ctx context.Context, _ string) (s sample, err error) {
		d, err := openDatabase(ctx, b.postgres)
		if err != nil {
			return s, err
		}
		defer func() { err = errors.Join(err, d.close(context.WithoutCancel(ctx))) }()
		began := time.Now()
		err = work(ctx, d)
		s.value = float64(n) / time.Since(began).Seconds()
		return s, err
	}
}

// postgres: intake and commands, against what a plain schema does.
func postgres(ctx context.Context, b *bench) ([]row, error) {
	const agents, readings, warm = postgresWorkers, 100, 4
	each := b.each(1_000_000, agents*readings)
	single, hundreds, cycles := b.each(20_000, agents), b.each(200_000, agents), b.each(20_000, 2*agents)
	f := fleet{agents: agents, start: startOf((each + warm) * readings)}
	run := intakeRun{b: b, profile: b.name, fleet: f, reports: f.reports(each+warm, readings), warm: warm, window: 8, readings: readings, connections: 4, following: true}
	ourCycles := b.each(50_000, agents)
	scores, err := b.contest(ctx,
		contestant{"intake", run.run},
		contestant{"a row and a counter", b.inPostgres(agents*single, func(ctx context.Context, d *database) error { return d.readings(ctx, f, single, 1) })},
		contestant{"batches of 100", b.inPostgres(agents*hundreds, func(ctx context.Context, d *database) error { return d.readings(ctx, f, hundreds, 100) })},
		contestant{"commands", func(ctx context.Context, dir string) (sample, error) {
			return b.withHouse(ctx, dir, f, func(list []*caller) (sample, error) { return b.measureCallers(ctx, list, ourCycles) })
		}},
		contestant{"an event and a counter", b.inPostgres(2*agents*cycles, func(ctx context.Context, d *database) error { return d.commands(ctx, f, cycles) })},
	)
	if err != nil {
		return nil, err
	}
	first := compare("readings/s", "intake", scores, map[string]float64{"a row and a counter": 20, "batches of 100": 20})
	first.Variant = "intake"
	second := compare("commands/s", "commands", scores, map[string]float64{"an event and a counter": 5})
	second.Variant = "commands"
	return []row{first, second}, nil
}
