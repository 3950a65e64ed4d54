package main

import (
	"time"

	"github.com/tollway/tollway/host/deliver"
	"github.com/tollway/tollway/host/stream"
)

// deliveryConfig is a receiver of invoices in the configuration file: exactly one
// of webhook, files and nats.
type deliveryConfig struct {
	Name    string `yaml:"name"` // its progress is kept under it
	Of      string `yaml:"of"`   // invoices (default) or alerts
	From    string `yaml:"from"` // first (default) or new: where a new one begins
	Webhook *struct {
		URL        string        `yaml:"url"`
		SecretFile string        `yaml:"secret_file"` // one whsec_… a line
		CA         string        `yaml:"ca"`          // PEM file
		Timeout    time.Duration `yaml:"timeout"`     // of one attempt; default 30s
	} `yaml:"webhook"`
	Files *struct {
		Directory string `yaml:"directory"`
	} `yaml:"files"`
	NATS *struct {
		Subject     string `yaml:"subject"`     // what the invoice's id is put behind
		URL         string `yaml:"url"`         // empty: the server that has the log
		Credentials string `yaml:"credentials"` // file
		TLS         struct {
			CA   string `yaml:"ca"`
			Cert string `yaml:"cert"`
			Key  string `yaml:"key"`
		} `yaml:"tls"`
	} `yaml:"nats"`
}

// sinks is the part of the configuration that says who gets invoices.
func (c serveConfig) sinks() []deliver.Sink {
	var list []deliver.Sink
	for _, d := range c.Deliveries {
		s := deliver.Sink{Name: d.Name, From: d.From, Of: d.Of}
		if w := d.Webhook; w != nil {
			s.Webhook = &deliver.Webhook{URL: w.URL, SecretFile: w.SecretFile, CAFile: w.CA, Timeout: w.Timeout}
		}
		if f := d.Files; f != nil {
			s.Files = &deliver.Files{Directory: f.Directory}
		}
		if n := d.NATS; n != nil {
			s.NATS = &deliver.NATS{Subject: n.Subject, Server: stream.Config{
				URL: n.URL, CredentialsFile: n.Credentials, TLSCAFile: n.TLS.CA, TLSCertFile: n.TLS.Cert, TLSKeyFile: n.TLS.Key,
			}}
		}
		list = append(list, s)
	}
	return list
}
