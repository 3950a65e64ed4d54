package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/tollway/tollway/plugins"
	"github.com/tollway/tollway/plugins/sign"
)

// passwordFlags say where the password of a secret key comes from: never from the
// command line, where every user of the machine can read it.
type passwordFlags struct {
	PasswordFile string `env:"TOLLWAY_KEY_PASSWORD_FILE" placeholder:"FILE" help:"File with the password of the secret key (${env}). Default: it is asked for."`
}

// password reads the password, or asks for it.
func (f passwordFlags) password(s streams, ask string) (string, error) {
	if f.PasswordFile != "" {
		b, err := os.ReadFile(f.PasswordFile)
		if err != nil {
			return "", fmt.Errorf("password file: %w", err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	terminal, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return "", usageError{errors.New("the secret key has a password, and nobody is here to be asked: name a file with --password-file")}
	}
	if _, err := fmt.Fprint(s.err, ask); err != nil {
		return "", err
	}
	b, err := term.ReadPassword(int(terminal.Fd()))
	_, newline := fmt.Fprintln(s.err)
	return string(b), errors.Join(err, newline)
}

// pluginKeygenCommand makes a key pair.
type pluginKeygenCommand struct {
	passwordFlags
	Key    string `short:"k" default:"tollway.key" placeholder:"FILE" help:"Secret key to write; the public one goes to the same name with .pub."`
	NoLock bool   `help:"Leave the secret key without a password, for a build server that keeps secrets by itself."`
}

// Run writes the two files.
func (c *pluginKeygenCommand) Run(s streams) error {
	public := strings.TrimSuffix(c.Key, ".key") + ".pub"
	for _, file := range []string{c.Key, public} {
		if _, err := os.Lstat(file); err == nil {
			return fmt.Errorf("%s is there already: a key is not overwritten; name another file with --key", file)
		}
	}
	password := ""
	if !c.NoLock {
		var err error
		if password, err = c.password(s, "Password for the new secret key: "); err != nil {
			return err
		}
		if password == "" {
			return usageError{errors.New("the password is empty; --no-lock makes a key without one")}
		}
	}
	p, secret, err := sign.GenerateKey(password)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.Key, secret, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(public, p, 0o644); err != nil {
		return err
	}
	key, err := sign.ParsePublicKey(string(p))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "key %s: secret in %s, public in %s\nLet servers trust it in their configuration:\n  plugins: {trust: [%s]}\n", key.ID(), c.Key, public, key)
	return err
}

// pluginSignCommand signs plugins.
type pluginSignCommand struct {
	passwordFlags
	Key     string   `short:"k" default:"tollway.key" placeholder:"FILE" help:"Secret key, of keygen or of minisign."`
	Comment string   `placeholder:"TEXT" help:"Trusted comment, which the signature covers. Default: the plugin's name and version."`
	Files   []string `arg:"" name:"file" help:"Plugins; each gets FILE.minisig beside it."`
}

// Run writes the signatures.
func (c *pluginSignCommand) Run(s streams) error {
	secret, err := os.ReadFile(c.Key)
	if err != nil {
		return fmt.Errorf("secret key: %w; make one with `tollway plugin keygen`", err)
	}
	password := ""
	if sign.Encrypted(secret) {
		if password, err = c.password(s, "Password of "+c.Key+": "); err != nil {
			return err
		}
	}
	for _, file := range c.Files {
		wasm, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		manifest, err := plugins.ReadManifest(wasm)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		comment := c.Comment
		if comment == "" {
			comment = fmt.Sprintf("plugin %s %s", manifest.Name, manifest.Version)
		}
		signature, err := sign.Sign(secret, password, wasm, comment)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := os.WriteFile(file+sign.Extension, signature, 0o644); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(s.out, "%s: signed %s, %q\n", file+sign.Extension, plugins.Digest(wasm), comment); err != nil {
			return err
		}
	}
	return nil
}
