package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/tollway/tollway/rpc"
)

// clientFlags say which server a command talks to.
type clientFlags struct {
	Server    string `env:"TOLLWAY_SERVER" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Address of the server (${env})."`
	TokenFile string `env:"TOLLWAY_TOKEN_FILE" placeholder:"FILE" help:"File with the bearer token (${env})."`
	CAFile    string `env:"TOLLWAY_CA_FILE" placeholder:"FILE" help:"PEM file of the authority that signed the server's certificate (${env})."`
}

// connect makes clients of the server.
func (f clientFlags) connect() (*rpc.Clients, error) {
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	var security *tls.Config
	if f.CAFile != "" {
		pem, err := os.ReadFile(f.CAFile)
		if err != nil {
			return nil, fmt.Errorf("certificate authority: %w", err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificate authority: %s holds no PEM certificate", f.CAFile)
		}
		security = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return rpc.NewClients(f.Server, token, security)
}

// token reads the first token of the file.
func (f clientFlags) token() (string, error) {
	if f.TokenFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(f.TokenFile)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			token, _, _ := strings.Cut(line, " ") // behind it may stand whose it is
			return token, nil
		}
	}
	return "", fmt.Errorf("token file %s holds no token", f.TokenFile)
}

// failed turns the error of a call into a sentence with its next step.
func failed(c *rpc.Clients, err error) error {
	if err == nil {
		return nil
	}
	f := c.Explain(err)
	if f == nil {
		return err
	}
	var b strings.Builder
	b.WriteString(f.Message)
	for i, p := range f.Problems {
		if text := p.String(); i > 0 || !strings.Contains(f.Message, text) { // the message has the first one
			fmt.Fprintf(&b, "\n  %s", text)
		}
	}
	if f.Hint != "" {
		fmt.Fprintf(&b, "\n%s%s", strings.ToUpper(f.Hint[:1]), f.Hint[1:])
	}
	return errors.New(b.String())
}
