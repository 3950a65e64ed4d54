package trial

import (
	"time"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/internal/cloud"
	"github.com/tollway/tollway/host/query"
	"github.com/tollway/tollway/host/stream"
)

// Log says where the log is: in a directory, with the server in the process, or
// at a URL.
type Log struct {
	StoreDir   string
	Unsynced   bool // with the server in the process
	Listen     bool // let other processes in
	URL        string
	SeedFile   string // of the host's user
	Partitions int
}

func (l Log) config() stream.Config {
	if l.URL != "" {
		return stream.Config{URL: l.URL, NKeyFile: l.SeedFile}
	}
	e := &stream.EmbeddedConfig{StoreDir: l.StoreDir, Partitions: l.Partitions, Unsynced: l.Unsynced}
	if l.Listen {
		e.Listen, e.HostSeedFile = "127.0.0.1:0", l.SeedFile
	}
	return stream.Config{Embedded: e}
}

// Usage is what a log is filled with.
type Usage struct {
	Accounts   int
	Sweep      bool // the first events use every slot once
	Format     cloud.Format
	Events     int
	PerMessage int
}

func (u Usage) world() (*cloud.World, error) { return cloud.New(u.Accounts, u.Sweep) }

// The kinds of jobs.
const (
	jobServe    = "serve"    // be the server of a log
	jobFill     = "fill"     // put the catalog in force and fill the log
	jobRead     = "read"     // read the log and drop it
	jobMap      = "map"      // sum the log up in plain maps
	jobHost     = "host"     // be a host on the log
	jobPostgres = "postgres" // load the log into PostgreSQL
	jobLatency  = "latency"  // send usage to a host and see when it shows

	jobIngest     = "ingest"     // take usage through RPC into the log
	jobIdentities = "identities" // let a set of identities grow
)

// job is what a process is started for.
type job struct {
	Kind        string
	Log         Log
	Usage       Usage
	DataDir     string
	PluginCache string
	ProfileFile string           // where a profile of the processor time goes; empty: none
	SecondHalf  bool             // of a host: what it takes to start, and for the first half of the events, is not measured
	From        int              // first event of a fill
	Until       []query.Position // where reading ends
	Stay        bool             // a host goes on after that until it is stopped
	Database    Database
	Latency     LatencyLoad
	Sizes       []int // of the set of identities
}

// Database is how PostgreSQL is loaded.
type Database struct {
	Address     string
	Connections int
	Synchronous bool // synchronous_commit
	Events      int  // at most
}

// The kinds of answers.
const (
	answerReady    = "ready"    // the server listens; the host has answered its first query
	answerProgress = "progress" // how much is read
	answerDone     = "done"
	answerError    = "error"
)

// answer is what a process says.
type answer struct {
	Kind    string
	Error   string
	URL     string
	Read    uint64
	Filled  Filled
	Figures Figures
	Latency LatencyFigures
}

// Filled says what a fill has written.
type Filled struct {
	Messages int
	Bytes    int // of bodies
	Took     time.Duration
	Ends     []query.Position // the last message of each partition
}

// Figures are what one process has measured of itself. Those that its system
// does not tell are 0.
type Figures struct {
	Events uint64        `json:"events"`
	Took   time.Duration `json:"took_ns"`
	CPU    time.Duration `json:"cpu_ns"`

	Allocations      uint64 `json:"allocations"`
	AllocatedBytes   uint64 `json:"allocated_bytes"`
	SteadyEvents     uint64 `json:"steady_events"` // the second half
	SteadyAllocation uint64 `json:"steady_allocations"`

	PeakRSS      int64 `json:"peak_rss_bytes"`
	RSS          int64 `json:"rss_bytes"`
	BytesWritten int64 `json:"bytes_written"` // to the disk, by this process
	StoreWritten int64 `json:"store_bytes_written"`
	StoreBytes   int64 `json:"store_bytes"` // on the disk, at the end

	Checkpoints *host.CheckpointStats    `json:"checkpoints,omitempty"`
	Stages      map[string]time.Duration `json:"stages_ns,omitempty"`
	// AllocationStages counts the objects that were allocated, sampled.
	AllocationStages map[string]int64 `json:"allocation_stages,omitempty"`
}

// perSecond is a rate, in events.
func (f Figures) perSecond() int64 {
	return int64(f.Events) * int64(time.Second) / max(1, int64(f.Took))
}

// perEvent divides by the events.
func (f Figures) perEvent(n int64) int64 { return n / int64(max(1, f.Events)) }
