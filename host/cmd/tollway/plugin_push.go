package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tollway/tollway/plugins/sign"
	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// pluginPushCommand uploads plugins to a server.
type pluginPushCommand struct {
	clientFlags
	outputFlags
	Path []string `arg:"" name:"file" help:"Plugin (.wasm), or a folder with such files in it. FILE.wasm.minisig beside it is sent as its signature."`
}

// Run pushes each plugin and prints how a catalog names it.
func (c *pluginPushCommand) Run(ctx context.Context, s streams) error {
	files, err := wasmFiles(c.Path)
	if err != nil {
		return err
	}
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	table := columns("file", "plugin", "version", "stored", "signed by", "as a catalog names it")
	for _, file := range files {
		wasm, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		signature, err := readSignature(file)
		if err != nil {
			return err
		}
		answer, err := clients.Plugins.Push(ctx, &tollwayv1.PluginServicePushRequest{Data: wasm, Signature: signature})
		if err != nil {
			return fmt.Errorf("%s: %w", file, failed(clients, err))
		}
		if c.Output == "json" {
			if err := printJSON(s.out, answer); err != nil {
				return err
			}
			continue
		}
		p := answer.GetPlugin()
		stored := "was there"
		if answer.GetStored() {
			stored = "new"
		}
		for _, tariff := range p.GetTariffs() {
			table.add(file, p.GetName(), p.GetVersion(), stored, orNone(signedBy(p)), tariff+"@"+p.GetDigest())
		}
	}
	if c.Output == "json" {
		return nil
	}
	return table.print(s.out, c.Output)
}

// wasmFiles lists the plugins that paths name: files themselves, and the .wasm
// files of folders.
func wasmFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		found, err := filepath.Glob(filepath.Join(path, "*.wasm"))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s holds no .wasm file; build it with `tollway plugin build %s`", path, path)
		}
		files = append(files, found...)
	}
	return files, nil
}

// readSignature reads the signature beside a plugin, nil when there is none.
func readSignature(file string) ([]byte, error) {
	b, err := os.ReadFile(file + sign.Extension)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// signedBy says whose signature a plugin has.
func signedBy(p *tollwayv1.Plugin) string {
	switch {
	case p.GetBuiltIn():
		return "built in"
	case p.GetSignedBy() == "":
		return ""
	case p.GetTrusted():
		return p.GetSignedBy()
	}
	return p.GetSignedBy() + " (not trusted)"
}

// pluginDownloadCommand brings a plugin back.
type pluginDownloadCommand struct {
	clientFlags
	Digest string `arg:"" help:"Its digest, sha256:…"`
	Out    string `short:"f" required:"" placeholder:"FILE" help:"File to write; its signature goes to FILE.minisig."`
}

// Run writes the plugin and its signature.
func (c *pluginDownloadCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	answer, err := clients.Plugins.Download(ctx, &tollwayv1.PluginServiceDownloadRequest{Digest: c.Digest})
	if err != nil {
		return failed(clients, err)
	}
	if err := os.WriteFile(c.Out, answer.GetData(), 0o644); err != nil {
		return err
	}
	if len(answer.GetSignature()) > 0 {
		if err := os.WriteFile(c.Out+sign.Extension, answer.GetSignature(), 0o644); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.out, "%s: %d bytes\n", c.Out, len(answer.GetData()))
	return err
}

// pluginRevokeCommand revokes a plugin or a key.
type pluginRevokeCommand struct {
	clientFlags
	What   string `arg:"" help:"Digest of a plugin (sha256:…), or id of a key (16 hex digits): all that it has signed."`
	Reason string `required:"" help:"Why, for those who meet the plugin later."`
}

// Run revokes, and prints what goes on using it.
func (c *pluginRevokeCommand) Run(ctx context.Context, s streams) error {
	clients, err := c.connect()
	if err != nil {
		return err
	}
	defer clients.Close()
	request := &tollwayv1.PluginServiceRevokeRequest{KeyId: strings.ToUpper(c.What), Reason: c.Reason}
	if strings.HasPrefix(c.What, "sha256:") {
		request.Digest, request.KeyId = c.What, ""
	}
	answer, err := clients.Plugins.Revoke(ctx, request)
	if err != nil {
		return failed(clients, err)
	}
	if _, err := fmt.Fprintf(s.out, "revoked: %s is not applied any more\n", c.What); err != nil {
		return err
	}
	for _, p := range answer.GetInUse() {
		for _, u := range p.GetUsedBy() {
			use := "tariff " + useText(u, " prices by it from ") + " on; give it a new version with another plugin"
			if u.GetEffectiveFrom() == nil { // not a tariff
				use = u.GetTariff() + " runs on invoices; name another plugin in the catalog"
			}
			if _, err := fmt.Fprintf(s.out, "still in use: %s\n", use); err != nil {
				return err
			}
		}
	}
	return nil
}
