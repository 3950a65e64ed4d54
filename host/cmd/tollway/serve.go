package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/internal/failpoint"
	"github.com/tollway/tollway/host/serve"
	"github.com/tollway/tollway/host/stream"
	"github.com/tollway/tollway/rpc"
	"github.com/tollway/tollway/sdk/abi"
)

// serveCommand runs the host.
type serveCommand struct {
	Config   string `placeholder:"FILE" help:"Configuration file; docs/configuration.md lists its keys."`
	Data     string `placeholder:"DIR" help:"Data directory (config: data)."`
	Listen   string `placeholder:"HOST:PORT" help:"Address of the RPC server (config: listen)."`
	TakeOver bool   `help:"Claim streams that another data directory owns; the ledger records it."`
	Unsigned bool   `name:"unsigned-plugins" help:"Apply plugins that nobody has signed, for development (config: plugins.require_signature)."`
	LogJSON  bool   `name:"log-json" help:"Log as JSON."`

	SnapshotEvery time.Duration `placeholder:"1h" help:"Copy the state as often as this, while running (config: snapshots.every)."`
	SnapshotTo    string        `placeholder:"DIR" help:"Folder that gets a folder for each copy; tollway restore takes the newest (config: snapshots.to)."`
	SnapshotKeep  int           `placeholder:"24" help:"How many copies are kept (config: snapshots.keep)."`
}

// serveConfig is the configuration file.
type serveConfig struct {
	// Data is the data directory: state, compiled plugins and, for the embedded
	// server, the log.
	Data string `yaml:"data"`
	// Partitions is fixed when the streams are made; default 8.
	Partitions int `yaml:"partitions"`
	// Listen is the address of the RPC server; default 127.0.0.1:8080. Any
	// address but loopback needs tls and token_file.
	Listen string `yaml:"listen"`
	TLS    struct {
		Cert string `yaml:"cert"` // PEM file
		Key  string `yaml:"key"`  // PEM file
	} `yaml:"tls"`
	// Dashboard serves pages for a browser below /ui/; default true.
	Dashboard *bool  `yaml:"dashboard"`
	TokenFile string `yaml:"token_file"` // one bearer token a line, with the name of whom it is given to behind it
	Plugins   struct {
		// Trust lists public keys of minisign, each as its line (RW…) or as the name
		// of a file with it: whoever has the secret one may sign plugins.
		Trust []string `yaml:"trust"`
		// RequireSignature refuses to apply plugins that no trusted key has signed;
		// default true.
		RequireSignature *bool `yaml:"require_signature"`
		// ShadowPercent is how much of one processor shadows use together; default 25.
		ShadowPercent int `yaml:"shadow_percent"`
		// FuelPerEventMax is the most fuel for an event that a plugin may ask for;
		// default abi.FuelPerEvent.
		FuelPerEventMax int64 `yaml:"fuel_per_event_max"`
		// FuelStartMax is the most fuel for its start that a plugin may ask for; default
		// abi.FuelStart.
		FuelStartMax int64 `yaml:"fuel_start_max"`
	} `yaml:"plugins"`
	NATS struct {
		// URL of an external server, or several with commas. Empty: an embedded
		// server under the data directory.
		URL         string `yaml:"url"`
		Credentials string `yaml:"credentials"` // file
		Listen      string `yaml:"listen"`      // of the embedded server, for producers; empty: in-process only
		Replicas    int    `yaml:"replicas"`    // of the streams; default 1
		TLS         struct {
			CA   string `yaml:"ca"`
			Cert string `yaml:"cert"`
			Key  string `yaml:"key"`
		} `yaml:"tls"`
	} `yaml:"nats"`
	// Deliveries are the receivers of issued invoices.
	Deliveries []deliveryConfig `yaml:"deliveries"`
	// Snapshots are copies of the state, taken by the clock.
	Snapshots snapshotsConfig `yaml:"snapshots"`
}

// readServeConfig reads the file; unknown keys are errors.
func readServeConfig(name string) (c serveConfig, err error) {
	if name == "" {
		return c, nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return c, fmt.Errorf("configuration: %w", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(b))
	decoder.KnownFields(true)
	if err := decoder.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		var wrong *yaml.TypeError
		if errors.As(err, &wrong) {
			for i, text := range wrong.Errors {
				wrong.Errors[i] = unknownKey.ReplaceAllString(text, "$1 is not a key of the configuration; docs/configuration.md lists them")
			}
		}
		return c, fmt.Errorf("configuration %s: %w", name, err)
	}
	return c, nil
}

// unknownKey is what the YAML package says of a key that is not known, in terms of
// Go types.
var unknownKey = regexp.MustCompile(`field (\S+) not found in type (?s:.*)`)

// Run serves until interrupted.
func (c *serveCommand) Run(ctx context.Context, s streams) error {
	held := host.HoldMemory(ctx)
	file, err := readServeConfig(c.Config)
	if err != nil {
		return err
	}
	if c.Data != "" {
		file.Data = c.Data
	}
	if c.Listen != "" {
		file.Listen = c.Listen
	}
	if file.Data == "" {
		return usageError{errors.New("the data directory is not set: pass --data DIR, or set data: in the configuration file")}
	}
	if c.Unsigned {
		file.Plugins.RequireSignature = new(bool)
	}
	if err := c.snapshots(&file.Snapshots); err != nil {
		return err
	}
	var handler slog.Handler = slog.NewTextHandler(s.err, nil)
	if c.LogJSON {
		handler = slog.NewJSONHandler(s.err, nil)
	}
	log := slog.New(handler)
	running := serve.Config{
		Host: host.Config{DataDir: file.Data, Partitions: file.Partitions, NATS: file.nats(), TakeOver: c.TakeOver, Log: log, Plugins: file.plugins(), Deliveries: file.sinks(), Now: failpoint.Clock(), Turns: host.ShareProcessors(), Memory: held},
		RPC: rpc.Config{
			Listen: file.Listen, TLSCertFile: file.TLS.Cert, TLSKeyFile: file.TLS.Key, TokenFile: file.TokenFile, Log: log,
		},
		Dashboard: file.Dashboard == nil || *file.Dashboard,
	}
	snapshots := &snapshotTaker{config: file.Snapshots, log: log}
	defer snapshots.end()
	return serve.Run(ctx, running, func(url string, h *host.Host) error {
		snapshots.start(ctx, h)
		_, err := fmt.Fprintf(s.out, "serving at %s\n", url)
		if err == nil && running.Dashboard {
			_, err = fmt.Fprintf(s.out, "dashboard at %s\n", serve.DashboardURL(url))
		}
		return err
	})
}

// snapshots puts what the flags say into the configuration, and checks it.
func (c *serveCommand) snapshots(into *snapshotsConfig) error {
	if c.SnapshotEvery != 0 {
		into.Every = c.SnapshotEvery
	}
	if c.SnapshotTo != "" {
		into.To = c.SnapshotTo
	}
	if c.SnapshotKeep != 0 {
		into.Keep = c.SnapshotKeep
	}
	return into.validate()
}

// plugins is the part of the configuration that says which plugins may be
// applied. What is not said is required.
func (c serveConfig) plugins() host.PluginPolicy {
	required := c.Plugins.RequireSignature == nil || *c.Plugins.RequireSignature
	return host.PluginPolicy{
		Trust: c.Plugins.Trust, RequireSignature: required, ShadowPercent: c.Plugins.ShadowPercent,
		FuelPerEventMax: cmp.Or(c.Plugins.FuelPerEventMax, abi.FuelPerEvent), FuelStartMax: cmp.Or(c.Plugins.FuelStartMax, abi.FuelStart),
	}
}

// nats is the part of the configuration that says where the log is.
func (c serveConfig) nats() stream.Config {
	if c.NATS.URL == "" {
		return stream.Config{Embedded: &stream.EmbeddedConfig{Listen: c.NATS.Listen}}
	}
	return stream.Config{
		URL: c.NATS.URL, CredentialsFile: c.NATS.Credentials, Replicas: c.NATS.Replicas,
		TLSCAFile: c.NATS.TLS.CA, TLSCertFile: c.NATS.TLS.Cert, TLSKeyFile: c.NATS.TLS.Key,
	}
}
