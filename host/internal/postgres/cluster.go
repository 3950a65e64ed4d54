package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrMissing says that PostgreSQL is not on this machine.
var ErrMissing = errors.New("the programs of PostgreSQL (initdb, postgres) are not installed; on Debian: apt-get install postgresql")

// Cluster is a database server of our own.
type Cluster struct {
	dir     string
	server  *exec.Cmd
	done    chan error // the server's end
	version string
}

// settings make the server as fast as its promises allow, on a machine of its
// own. What is committed with synchronous_commit on survives a power cut.
const settings = `
listen_addresses = ''
unix_socket_permissions = 0777
max_connections = 10
shared_buffers = 2GB
max_wal_size = 8GB
checkpoint_timeout = 30min
wal_level = minimal
max_wal_senders = 0
wal_compression = off
jit = off
work_mem = 64MB
max_parallel_workers_per_gather = 0
fsync = on
full_page_writes = on
`

// How long the server may take to start.
const (
	startMax      = 30 * time.Second
	startInterval = 50 * time.Millisecond
)

// Start makes a cluster in a new folder below dir and starts its server.
func Start(ctx context.Context, dir string) (c *Cluster, err error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	c = &Cluster{done: make(chan error, 1)}
	if c.dir, err = os.MkdirTemp(dir, "tollway-postgres-"); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("postgres: %w", errors.Join(err, c.Close()))
			c = nil
		}
	}()
	as, err := unprivileged(c.dir)
	if err != nil {
		return c, err
	}
	data := filepath.Join(c.dir, "data")
	initialize := command(ctx, as, filepath.Join(bin, "initdb"), "-D", data, "-U", "tollway", "--auth=trust", "-E", "UTF8", "--locale=C", "-N")
	if out, err := initialize.CombinedOutput(); err != nil {
		return c, fmt.Errorf("initdb: %w: %s", err, strings.TrimSpace(string(out)))
	}
	conf, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return c, err
	}
	_, err = conf.WriteString(settings)
	if err = errors.Join(err, conf.Close()); err != nil {
		return c, err
	}
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		return c, err
	}
	server := command(ctx, as, filepath.Join(bin, "postgres"), "-D", data, "-k", c.dir)
	server.Stdout, server.Stderr = log, log
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGINT) } // disconnects everybody and ends
	if err := errors.Join(server.Start(), log.Close()); err != nil {
		return c, err
	}
	c.server = server
	go func() { c.done <- server.Wait() }()
	return c, c.ready(ctx)
}

// command makes a command that runs with the rights of somebody.
func command(ctx context.Context, as *syscall.SysProcAttr, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = as
	cmd.Dir = string(filepath.Separator)
	return cmd
}

// programs finds the folder with the server's programs: in the path, or where
// Debian puts them, the newest version.
func programs() (string, error) {
	if name, err := exec.LookPath("initdb"); err == nil {
		if name, err = filepath.EvalSymlinks(name); err == nil {
			return filepath.Dir(name), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", errors.Join(ErrMissing, err)
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
	return filepath.Dir(found[len(found)-1]), nil
}

// Available returns nil if a cluster could be started, and what is missing
// otherwise.
func Available() error {
	_, err := programs()
	return err
}

// ready waits until the server answers.
func (c *Cluster) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startMax)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.Address())
		if err == nil {
			err = conn.QueryRow(ctx, "SHOW server_version").Scan(&c.version)
			return errors.Join(err, conn.Close(ctx))
		}
		select {
		case ended := <-c.done:
			c.done <- ended
			return fmt.Errorf("the server ended: %w: %s", errors.Join(ended, err), c.log())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w: %s", err, c.log())
		case <-time.After(startInterval):
		}
	}
}

// log is what the server has said.
func (c *Cluster) log() string {
	text, err := os.ReadFile(filepath.Join(c.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text))
}

// Address is how the database is reached.
func (c *Cluster) Address() string {
	return fmt.Sprintf("host=%s user=tollway dbname=postgres", c.dir)
}

// Version is the server's.
func (c *Cluster) Version() string { return c.version }

// Close stops the server and removes everything.
func (c *Cluster) Close() error {
	var err error
	if c.server != nil {
		err = c.server.Process.Signal(syscall.SIGINT)
		if err == nil || errors.Is(err, os.ErrProcessDone) {
			err = <-c.done
		}
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}
