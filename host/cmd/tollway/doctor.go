package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/checkpoint"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/rpc"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// doctorCommand looks at an installation and changes nothing.
type doctorCommand struct {
	clientFlags
	Config     string `placeholder:"FILE" help:"Configuration file of the host."`
	Data       string `placeholder:"DIR" help:"Data directory (config: data)."`
	NATSConfig bool   `name:"nats-config" help:"Print the NATS server configuration that the log needs, with its permissions, and do nothing else."`
	Partitions int    `placeholder:"N" help:"Partitions of the log, for --nats-config (config: partitions)."`
}

// findings are the lines that the doctor prints, as it comes to them.
type findings struct {
	out      io.Writer
	err      error // of writing
	failures int
}

func (f *findings) print(mark, what, format string, args ...any) {
	if f.err == nil {
		text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n"+strings.Repeat(" ", 18))
		_, f.err = fmt.Fprintf(f.out, "%-4s  %-10s  %s\n", mark, what, text)
	}
}

func (f *findings) ok(what, format string, args ...any)   { f.print("ok", what, format, args...) }
func (f *findings) warn(what, format string, args ...any) { f.print("warn", what, format, args...) }
func (f *findings) fail(what string, err error) {
	f.failures++
	f.print("FAIL", what, "%v", err)
}

// Run prints what was found, one line each; what keeps a host from working is a
// failure.
func (c *doctorCommand) Run(ctx context.Context, s streams) error {
	file, err := readServeConfig(c.Config)
	if err != nil {
		return err
	}
	if c.NATSConfig {
		return c.natsConfig(s.out, file)
	}
	if c.Data != "" {
		file.Data = c.Data
	}
	f := &findings{out: s.out}
	if file.Data == "" {
		f.warn("data", "no data directory is named: pass --data DIR or --config FILE to have it looked at")
	} else {
		f.data(file.Data)
	}
	f.log(ctx, file, c.Config != "")
	f.server(ctx, c.clientFlags)
	switch {
	case f.err != nil:
		return f.err
	case f.failures > 0:
		return fmt.Errorf("%d of these must be mended", f.failures)
	}
	return nil
}

// natsConfig prints the configuration of a NATS server.
func (c *doctorCommand) natsConfig(w io.Writer, file serveConfig) error {
	partitions := host.DefaultPartitions
	switch {
	case c.Partitions != 0:
		partitions = c.Partitions
	case file.Partitions != 0:
		partitions = file.Partitions
	}
	if partitions < 1 || partitions > stream.PartitionsMax {
		return usageError{fmt.Errorf("--partitions %d: there must be 1 to %d", partitions, stream.PartitionsMax)}
	}
	_, err := fmt.Fprint(w, stream.ServerConfig(partitions))
	return err
}

// Free space below which the doctor warns.
const freeBytesWarn = 5 << 30

// data looks at the data directory.
func (f *findings) data(dir string) {
	const what = "data"
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		f.warn(what, "%s is not there yet; `tollway serve` makes it", dir)
		return
	}
	if err != nil {
		f.fail(what, err)
		return
	}
	if !info.IsDir() {
		f.fail(what, fmt.Errorf("%s is not a directory: name another one", dir))
		return
	}
	if info.Mode().Perm()&0o077 != 0 {
		f.warn(what, "%s can be read by others than its owner: chmod 700 %s", dir, dir)
	}
	probe, err := os.CreateTemp(dir, "doctor-*")
	if err != nil {
		f.fail(what, fmt.Errorf("%s cannot be written: %w", dir, err))
		return
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		f.fail(what, err)
		return
	}
	state := "no state yet"
	if exists(filepath.Join(dir, "state")) {
		state = "with a state"
	}
	if aside := filepath.Join(dir, "state.damaged"); exists(aside) {
		f.warn(what, "%s is a state that was damaged and was made again from the log: remove it when nobody wants to look at it", aside)
	}
	free, err := checkpoint.FreeBytes(dir)
	least := checkpoint.DefaultOptions().FreeMinBytes
	switch {
	case err != nil:
		f.fail(what, err)
	case free < least:
		f.fail(what, fmt.Errorf("%s has only %s left on its disk, and below %s a host commits nothing: it takes usage, shows what it had, and goes on by itself "+
			"when there is space. Free some, or move the directory: docs/recovery.md says how", dir, bytesText(uint64(free)), bytesText(uint64(least))))
	case free < freeBytesWarn:
		f.warn(what, "%s, %s, has only %s left on its disk", dir, state, bytesText(uint64(free)))
	default:
		f.ok(what, "%s, %s, %s free", dir, state, bytesText(uint64(free)))
	}
}

// exists reports whether there is a file or folder of a name.
func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// log looks at an external NATS; an embedded one is the host's own. Which of them it is
// says the configuration, or else what lies in the data directory.
func (f *findings) log(ctx context.Context, file serveConfig, configured bool) {
	const what = "log"
	if file.NATS.URL == "" {
		if configured || file.Data != "" && (exists(filepath.Join(file.Data, "nats")) || !exists(filepath.Join(file.Data, "state"))) {
			f.ok(what, "the NATS server is embedded in the host, which checks it at each start and every minute")
		} else {
			f.warn(what, "where the log is, is not said: pass --config FILE to have an external NATS server looked at, or the --data DIR of an embedded one")
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	conn, err := stream.Open(ctx, file.nats())
	if err != nil {
		f.fail(what, err)
		return
	}
	in, err := conn.Inspect(ctx)
	if err = errors.Join(err, conn.Close()); err != nil {
		f.fail(what, err)
		return
	}
	if in.Partitions == 0 {
		f.warn(what, "%s has no streams of Tollway yet; a host makes them. The server's configuration: tollway doctor --nats-config", file.NATS.URL)
		return
	}
	if want := file.Partitions; want != 0 && want != in.Partitions {
		f.fail(what, fmt.Errorf("the log has %d partitions, the configuration says %d: the number is fixed when the streams are made", in.Partitions, want))
	}
	var messages, size uint64
	for _, s := range in.Streams {
		messages, size = messages+s.Messages, size+s.Bytes
	}
	f.ok(what, "%s: %d partitions, %d messages, %s", file.NATS.URL, in.Partitions, messages, bytesText(size))
	if o := in.Owner; o != nil {
		f.ok("owner", "data directory %s, in use on host %s since %s (epoch %d)", o.StoreID, o.Host, o.Since.UTC().Format(time.RFC3339), o.Epoch)
	}
	for _, p := range in.Problems {
		f.fail("stream", errors.New(p.String()))
	}
	for _, w := range in.Warnings {
		f.warn("stream", "%s", w)
	}
}

// server asks a running host how it is.
func (f *findings) server(ctx context.Context, flags clientFlags) {
	const what = "server"
	clients, err := flags.connect()
	if err != nil {
		f.fail(what, err)
		return
	}
	defer clients.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	f.partitions(ctx, clients)
	answer, err := clients.DeadLetters.List(ctx, &tollwayv1.DeadLetterServiceListRequest{PageSize: 1})
	if err != nil {
		f.warn(what, "%s does not answer: %v", flags.Server, failed(clients, err))
		return
	}
	var last uint64
	for _, p := range answer.GetAsOf().GetPositions() {
		last += p.GetSequence()
	}
	n := answer.GetCounts()
	f.ok(what, "%s answers: %d messages of %d partitions read, catalog revision %d", flags.Server, last, len(answer.GetAsOf().GetPositions()), answer.GetAsOf().GetCatalogRevision())
	if n.GetRead() != n.GetPriced()+n.GetDuplicates()+n.GetDeadLettered() {
		f.fail("balance", fmt.Errorf("%d events read are not %d priced + %d duplicates + %d dead letters", n.GetRead(), n.GetPriced(), n.GetDuplicates(), n.GetDeadLettered()))
	} else {
		f.ok("balance", "%d events read = %d priced + %d duplicates + %d dead letters", n.GetRead(), n.GetPriced(), n.GetDuplicates(), n.GetDeadLettered())
	}
	if answer.GetAsOf().GetCatalogRevision() == 0 {
		f.warn("catalog", "no catalog is in force: tollway apply -f PATH")
	}
	if open := n.GetDeadLettered() - n.GetDiscarded(); open > 0 {
		f.warn("letters", "%s: tollway dead-letters summary", openLetters(open))
	}
}

// partitions asks a running host whether its state can be relied on. One that does
// not answer is told of elsewhere.
func (f *findings) partitions(ctx context.Context, clients *rpc.Clients) {
	const what = "partitions"
	status, err := clients.Admin.Status(ctx, &tollwayv1.AdminServiceStatusRequest{})
	if err != nil {
		return
	}
	serving, verified, waiting := 0, 0, uint64(0)
	for _, p := range status.GetPartitions() {
		h := p.GetHealth()
		if end := p.GetLogEnd(); end > p.GetPosition() {
			waiting += end - p.GetPosition()
		}
		if problem := p.GetLogProblem(); problem != "" {
			f.warn(what, "the end of the log of partition %d is not known: %s", p.GetPartition(), problem)
		}
		if h.GetVerifiedAt() != nil || h.GetDigest() == "" {
			verified++
		}
		switch h.GetCondition() {
		case host.ConditionServing:
			serving++
		case host.ConditionRebuilding:
			f.warn(what, "%d is made again, at position %d of %d: %s", p.GetPartition(), p.GetPosition(), h.GetTargetPosition(), h.GetReason())
		default:
			f.fail(what, fmt.Errorf("%d is %s: %s; docs/recovery.md says what to do", p.GetPartition(), h.GetCondition(), h.GetReason()))
		}
		if h.GetVerifyingOfBytes() > 0 {
			f.ok(what, "%d is being read in full: %s of %s", p.GetPartition(), bytesText(h.GetVerifyingBytes()), bytesText(h.GetVerifyingOfBytes()))
		}
	}
	if all := len(status.GetPartitions()); serving == all {
		f.ok(what, "%d of %d serve, %d of them read in full since the start", serving, all, verified)
	}
	if waiting > 0 {
		f.ok(what, "%d messages of the log are not in the answers yet; where that does not change, the host's log says why", waiting)
	}
}

// bytesText writes a size for people.
func bytesText(n uint64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d bytes", n)
	}
	div, name := uint64(unit), "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB"} {
		if n/div < unit {
			break
		}
		div, name = div*unit, next
	}
	return fmt.Sprintf("%d.%d %s", n/div, n%div*10/div, name)
}
