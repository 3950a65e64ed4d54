package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/host/internal/postgres"
)

// PipelineConfig says what Pipeline measures.
type PipelineConfig struct {
	Common
	// Events is how many events the packed logs have. Arrays take a fifth of them,
	// single messages a tenth: they are slower to write.
	Events int
	// Accounts of the packed logs, one log each, with ten slots an account. Arrays
	// and single messages take the first, as much fewer as they have fewer events,
	// so that a slot takes as many.
	Accounts []int
	// PerMessage is how many events an array and a packed batch have.
	PerMessage int
	// DatabaseEvents is how many of the first log's events PostgreSQL takes.
	DatabaseEvents int
	// Only names the parts that are measured: packed, array, single, postgres,
	// kill; empty: all. PostgreSQL and the kill want packed as well.
	Only []string
}

// The parts of Pipeline besides the body formats.
const (
	partPostgres = "postgres"
	partKill     = "kill"
)

// PipelineParts lists what PipelineConfig.Only may name.
func PipelineParts() []string {
	return []string{cloud.Packed.String(), cloud.Array.String(), cloud.Single.String(), partPostgres, partKill}
}

// AcceptanceParts lists the parts that the promised figures are about.
func AcceptanceParts() []string {
	return []string{cloud.Packed.String(), cloud.Single.String(), partPostgres, partKill}
}

// Validate reports every problem at once.
func (c *PipelineConfig) Validate() error {
	problems := c.problems()
	say := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if c.Events < eventsMin || c.DatabaseEvents < 1 || c.DatabaseEvents > c.Events {
		say("%d events, %d for the database: there must be at least %d, and the database takes some of them", c.Events, c.DatabaseEvents, eventsMin)
	}
	if len(c.Accounts) == 0 {
		say("no accounts")
	}
	for _, a := range c.Accounts {
		if a < shareSingle || a > cloud.AccountsMax {
			say("%d accounts: there must be %d to %d", a, shareSingle, cloud.AccountsMax)
		}
	}
	if c.PerMessage < 1 {
		say("%d events in a message: there must be at least 1", c.PerMessage)
	}
	for _, part := range c.Only {
		if !slices.Contains(PipelineParts(), part) {
			say("there is no part %q; the parts are %v", part, PipelineParts())
		}
	}
	return errors.Join(problems...)
}

func (c *PipelineConfig) wants(part string) bool {
	return len(c.Only) == 0 || slices.Contains(c.Only, part)
}

// eventsMin is from how many events on something is measured but the start.
const eventsMin = 10_000

// The share of the events that slower formats take: one in so many.
const shareArray, shareSingle = 5, 10

// PipelineReport is what Pipeline has measured.
type PipelineReport struct {
	Machine    Machine `json:"machine"`
	Partitions int     `json:"partitions"`
	PerMessage int     `json:"events_per_message"`
	Rounds     int     `json:"rounds"`
	First      string  `json:"first"`    // key of the log that the goals are about
	Database   string  `json:"database"` // the version, or why there is none
	Killed     string  `json:"killed"`   // what the run with a kill -9 has shown
	Rows       []*Row  `json:"rows"`
	Ratios     []Ratio `json:"ratios"`
}

// row finds a row by its key; nil if it was not measured.
func (r *PipelineReport) row(key string) *Row {
	for _, row := range r.Rows {
		if row.Key == key {
			return row
		}
	}
	return nil
}

// add adds a round to a row.
func (r *PipelineReport) add(key, name string, f Figures) {
	row := r.row(key)
	if row == nil {
		row = &Row{Key: key, Name: name, Events: int(f.Events)}
		r.Rows = append(r.Rows, row)
	}
	row.Rounds = append(row.Rounds, f)
}

// The subjects of a round. A row's key is the log's and, behind a slash, the
// subject's.
const (
	subjectRead         = "read"
	subjectReadSeparate = "read-separate"
	subjectHost         = "host"
	subjectHostSeparate = "host-separate"
	subjectMap          = "map"
	subjectDatabase     = "postgres" // with -CONNECTIONS-on or -off behind it
)

// pipeline is one run of Pipeline.
type pipeline struct {
	*bed
	config PipelineConfig
	report PipelineReport
}

// Pipeline measures the way from a filled log to the last durable checkpoint,
// beside the raw read, plain maps and PostgreSQL.
func Pipeline(ctx context.Context, config PipelineConfig) (PipelineReport, error) {
	if err := config.Validate(); err != nil {
		return PipelineReport{}, err
	}
	p := &pipeline{config: config, report: PipelineReport{
		Machine: thisMachine(config.Now()), Partitions: config.Partitions, PerMessage: config.PerMessage, Rounds: config.Rounds,
		First: packedKey(config.Accounts[0]),
	}}
	err := withBed(config.Common, func(b *bed) error {
		p.bed = b
		return p.run(ctx)
	})
	p.report.Ratios = p.ratios()
	return p.report, err
}

// run measures log by log.
func (p *pipeline) run(ctx context.Context) error {
	for i, accounts := range p.config.Accounts {
		u := Usage{Accounts: accounts, Format: cloud.Packed, Events: p.config.Events, PerMessage: p.config.PerMessage}
		if !p.config.wants(u.Format.String()) {
			break
		}
		if err := p.log(ctx, u, "", i == 0); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		format cloud.Format
		share  int
	}{{cloud.Array, shareArray}, {cloud.Single, shareSingle}} {
		if !p.config.wants(f.format.String()) {
			continue
		}
		u := Usage{Accounts: p.config.Accounts[0] / f.share, Format: f.format, Events: p.config.Events / f.share, PerMessage: p.config.PerMessage}
		if err := p.log(ctx, u, f.format.String(), false); err != nil {
			return err
		}
	}
	return nil
}

// log fills one log and measures it, round by round. The first log has
// PostgreSQL and the kill beside it.
func (p *pipeline) log(ctx context.Context, u Usage, key string, first bool) error {
	if key == "" {
		key = packedKey(u.Accounts)
	}
	f, err := p.fill(ctx, key, u)
	if err != nil {
		return err
	}
	var d *database
	if first && p.config.wants(partPostgres) {
		if d, err = p.openDatabase(ctx, u); err != nil {
			return err
		}
	}
	for n := range p.config.Rounds {
		p.progress("%s: round %d of %d", key, n+1, p.config.Rounds)
		if err = p.round(ctx, f, key, d); err != nil {
			break
		}
	}
	if err = errors.Join(err, d.close()); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if first && p.config.wants(partKill) {
		if p.report.Killed, err = f.killed(ctx); err != nil {
			return fmt.Errorf("%s: kill -9: %w", key, err)
		}
		p.progress("kill -9: %s", p.report.Killed)
	}
	return f.remove()
}

func packedKey(accounts int) string { return cloud.Packed.String() + "-" + strconv.Itoa(accounts) }

// round measures everything on a log once.
func (p *pipeline) round(ctx context.Context, f *field, key string, d *database) error {
	measure := func(subject, what string, j job) error {
		figures, err := f.run(ctx, j)
		if err != nil {
			return err
		}
		p.progress("%s %s: %d events/s", key, subject, figures.perSecond())
		p.report.add(key+"/"+subject, f.describe()+", "+what, figures)
		return nil
	}
	if err := measure(subjectRead, "raw read, server in the process", f.job(jobRead)); err != nil {
		return err
	}
	if err := measure(subjectHost, "engine, server in the process", f.profiled()); err != nil {
		return err
	}
	if err := measure(subjectMap, "plain Go maps", f.job(jobMap)); err != nil {
		return err
	}
	err := f.withServer(ctx, func(log Log) error {
		read, host := f.job(jobRead), f.profiled()
		read.Log, host.Log = log, log
		if err := measure(subjectReadSeparate, "raw read, server apart", read); err != nil {
			return err
		}
		return measure(subjectHostSeparate, "engine, server apart", host)
	})
	if err != nil || d == nil {
		return err
	}
	return d.round(ctx, key)
}

// profiled is the job of a host with a profile.
func (f *field) profiled() job {
	j := f.job(jobHost)
	j.ProfileFile = j.DataDir + ".profile"
	return j
}

// describe names a log in a table.
func (f *field) describe() string {
	name := map[cloud.Format]string{cloud.Packed: "packed", cloud.Array: "JSON arrays", cloud.Single: "single JSON"}[f.usage.Format]
	return fmt.Sprintf("%s, %s accounts", name, thousands(int64(f.usage.Accounts)))
}

// errKill ends the following of a host that is to be killed.
var errKill = errors.New("kill")

// killed kills a host in the middle, with the server that it has inside, starts
// it again on the same data, and lets it compare all totals.
func (f *field) killed(ctx context.Context) (string, error) {
	j := f.job(jobHost)
	j.Stay = true
	p, err := f.bed.Launch.start(ctx, j)
	if err != nil {
		return "", err
	}
	var read uint64
	_, err = p.await(answerDone, func(a answer) error {
		if read = a.Read; read >= f.half() {
			return errKill
		}
		return nil
	})
	if err == nil {
		read = uint64(f.usage.Events) // it was too fast, but it has not been closed yet
	} else if !errors.Is(err, errKill) {
		return "", errors.Join(err, p.kill())
	}
	if err := p.kill(); err != nil {
		return "", err
	}
	if p, err = f.bed.Launch.start(ctx, j); err != nil {
		return "", err
	}
	again := uint64(0)
	_, err = p.await(answerDone, func(a answer) error {
		if a.Kind == answerReady {
			again = a.Read
		}
		return nil
	})
	if err == nil && again < read {
		err = fmt.Errorf("%d events were committed before the kill and %d are after it", read, again)
	}
	err = errors.Join(err, p.stop(), os.RemoveAll(j.DataDir))
	return fmt.Sprintf("killed when %s of %s events were committed; started again, all %s totals are equal to the known sums",
		thousands(int64(read)), thousands(int64(f.usage.Events)), thousands(int64(f.usage.Accounts))), err
}

// database is PostgreSQL beside a log: a log of its own with the first events of
// that one, which it takes whole.
type database struct {
	pipeline *pipeline
	cluster  *postgres.Cluster
	field    *field
}

// openDatabase starts a cluster; nil when this machine has none.
func (p *pipeline) openDatabase(ctx context.Context, u Usage) (*database, error) {
	cluster, err := postgres.Start(ctx, p.config.Dir)
	if errors.Is(err, postgres.ErrMissing) {
		p.report.Database = "not measured: " + err.Error()
		p.progress("PostgreSQL is %s", p.report.Database)
		return nil, nil //nolint:nilnil // no database is not an error
	}
	if err != nil {
		return nil, err
	}
	p.report.Database = "PostgreSQL " + cluster.Version()
	u.Events = p.config.DatabaseEvents
	f, err := p.fill(ctx, "postgres", u)
	if err != nil {
		return nil, errors.Join(err, cluster.Close())
	}
	return &database{pipeline: p, cluster: cluster, field: f}, nil
}

// round measures the ways to load the database once.
func (d *database) round(ctx context.Context, key string) error {
	for _, connections := range []int{1, 2} {
		for _, synchronous := range []bool{false, true} {
			j := d.field.job(jobPostgres)
			j.Database = Database{Address: d.cluster.Address(), Connections: connections, Synchronous: synchronous}
			f, err := d.field.run(ctx, j)
			if err != nil {
				return err
			}
			subject := databaseSubject(connections, synchronous)
			d.pipeline.progress("%s %s: %d events/s", key, subject, f.perSecond())
			d.pipeline.report.add(key+"/"+subject,
				fmt.Sprintf("PostgreSQL, connections: %d, synchronous_commit %s", connections, onOff(synchronous)), f)
		}
	}
	return nil
}

func databaseSubject(connections int, synchronous bool) string {
	return fmt.Sprintf("%s-%d-%s", subjectDatabase, connections, onOff(synchronous))
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// close stops the cluster.
func (d *database) close() error {
	if d == nil {
		return nil
	}
	return errors.Join(d.cluster.Close(), d.field.remove())
}

// ratios sets rows beside each other that were measured in the same rounds.
func (p *pipeline) ratios() []Ratio {
	var list []Ratio
	add := func(name, goal, of, by string) {
		if r, ok := ratio(name, goal, p.report.row(of), p.report.row(by)); ok {
			list = append(list, r)
		}
	}
	for i, accounts := range p.config.Accounts {
		key, name := packedKey(accounts), fmt.Sprintf("packed, %s accounts: ", thousands(int64(accounts)))
		goal := func(text string) string { return [2]string{text, ""}[min(i, 1)] }
		for _, connections := range []int{1, 2} {
			for _, synchronous := range []bool{false, true} {
				text := ""
				if connections == 2 && !synchronous {
					text = goal("5, aim 12")
				}
				add(fmt.Sprintf("%sengine ÷ PostgreSQL on %d, synchronous_commit %s", name, connections, onOff(synchronous)), text,
					key+"/"+subjectHost, key+"/"+databaseSubject(connections, synchronous))
			}
		}
		add(name+"engine ÷ plain Go maps", goal("0.4, aim 0.7"), key+"/"+subjectHost, key+"/"+subjectMap)
		add(name+"engine ÷ raw read", "", key+"/"+subjectHost, key+"/"+subjectRead)
		add(name+"engine ÷ raw read, server apart", "", key+"/"+subjectHostSeparate, key+"/"+subjectReadSeparate)
	}
	add("JSON arrays: engine ÷ raw read", "", "array/"+subjectHost, "array/"+subjectRead)
	add("JSON arrays: engine ÷ plain Go maps", "", "array/"+subjectHost, "array/"+subjectMap)
	add("single JSON: engine ÷ raw read", "0.6, aim 0.8", "single/"+subjectHost, "single/"+subjectRead)
	add("single JSON: engine ÷ raw read, server apart", "", "single/"+subjectHostSeparate, "single/"+subjectReadSeparate)
	add("single JSON: engine ÷ plain Go maps", "", "single/"+subjectHost, "single/"+subjectMap)
	return list
}
