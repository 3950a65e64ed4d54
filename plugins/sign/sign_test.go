package sign

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func trust(t testing.TB, entries ...string) Trust {
	t.Helper()
	tr, err := LoadTrust(entries)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// The files of testdata were made with minisign 0.11: keys with -G -W and with -G
// (password "pw"), signatures with -S and, for the legacy one, with -S -l.
func TestFilesOfMinisign(t *testing.T) {
	tr := trust(t, "testdata/team.pub")
	for name, comment := range map[string]string{"hashed.minisig": "plugin calls 1.0.0", "legacy.minisig": "old one"} {
		s, err := tr.Verify(read(t, "message"), read(t, name))
		if err != nil || s.Comment != comment || s.KeyID != "C80218897CED344A" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		changed := append(read(t, "message"), '\n')
		if _, err := tr.Verify(changed, read(t, name)); !errors.Is(err, ErrWrong) {
			t.Errorf("%s of other bytes: %v", name, err)
		}
		forged := bytes.Replace(read(t, name), []byte("trusted comment: "+comment), []byte("trusted comment: plugin other 9.9.9"), 1)
		if _, err := tr.Verify(read(t, "message"), forged); !errors.Is(err, ErrWrong) {
			t.Errorf("%s with another comment: %v", name, err)
		}
	}
	if _, err := trust(t, "testdata/locked.pub").Verify(read(t, "message"), read(t, "hashed.minisig")); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("another key: %v", err)
	}
}

func TestLockedKey(t *testing.T) {
	if testing.Short() {
		t.Skip("the key derivation takes a second and a gibibyte")
	}
	secret := read(t, "locked.key")
	if !Encrypted(secret) || Encrypted(read(t, "team.key")) {
		t.Error("which key is encrypted is told wrong")
	}
	if _, err := Sign(secret, "wrong", []byte("m"), "c"); !errors.Is(err, ErrPassword) {
		t.Errorf("wrong password: %v", err)
	}
	s, err := Sign(secret, "pw", []byte("m"), "c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trust(t, "testdata/locked.pub").Verify([]byte("m"), s); err != nil {
		t.Error(err)
	}
}

// The file of a public key names its id in full, whatever it begins with, and an id
// as minisign writes it, without zeros at the beginning, is the same.
func TestIDs(t *testing.T) {
	for range 200 {
		public, _, err := GenerateKey("")
		if err != nil {
			t.Fatal(err)
		}
		k, err := ParsePublicKey(string(public))
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(public), "\n")
		if want := "untrusted comment: minisign public key: " + k.ID(); first != want {
			t.Fatalf("%s, want %s", first, want)
		}
		if id, ok := ParseID(strings.TrimLeft(k.ID(), "0")); !ok || id != k.ID() {
			t.Fatalf("%s, %v, want %s", id, ok, k.ID())
		}
	}
	for _, text := range []string{"", "0123456789ABCDEF0", "c80218897ced344a", "C80218897CED344G"} {
		if id, ok := ParseID(text); ok {
			t.Errorf("%q is %s", text, id)
		}
	}
}

// What is signed is verified, and nothing else is: not with one byte of the
// message or of the signature's lines changed.
func TestRoundTrip(t *testing.T) {
	public, secret, err := GenerateKey("")
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParsePublicKey(string(public))
	if err != nil {
		t.Fatal(err)
	}
	tr := trust(t, k.String())
	rapid.Check(t, func(t *rapid.T) {
		message := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "message")
		comment := rapid.StringMatching(`[ -~]{0,60}[!-~]`).Draw(t, "comment")
		signature, err := Sign(secret, "", message, comment)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tr.Verify(message, signature)
		if err != nil || got.Comment != comment || got.KeyID != k.ID() {
			t.Fatalf("%+v, %v", got, err)
		}
		message[rapid.IntRange(0, len(message)-1).Draw(t, "at")] ^= 1
		if _, err := tr.Verify(message, signature); !errors.Is(err, ErrWrong) {
			t.Fatalf("a changed message: %v", err)
		}
	})
}

func TestTrustReportsEverything(t *testing.T) {
	_, err := LoadTrust([]string{"RWshort", "testdata/message", "testdata/team.pub"})
	if err == nil || !strings.Contains(err.Error(), "trusted key 1") || !strings.Contains(err.Error(), "trusted key 2") || strings.Contains(err.Error(), "trusted key 3") {
		t.Errorf("got %v", err)
	}
	if _, err := Sign([]byte("nonsense"), "", nil, ""); err == nil {
		t.Error("nonsense signs")
	}
	if _, err := Sign(read(t, "team.key"), "", nil, "two\nlines"); err == nil {
		t.Error("a comment of two lines is taken")
	}
}

// The real tool verifies what this package signs with keys that this package
// makes, and the other way round.
func TestWithMinisign(t *testing.T) {
	tool, err := exec.LookPath("minisign")
	if err != nil {
		t.Skip("minisign is not installed (Debian: apt-get install minisign); the files that it made are tested instead")
	}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	public, secret, err := GenerateKey("")
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("\x00asm\x01\x00\x00\x00")
	ours, err := Sign(secret, "", message, "plugin x 1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"k.pub": public, "k.key": secret, "m": message, "m.minisig": ours} {
		if err := os.WriteFile(at(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
			t.Fatalf("minisign %v: %v\n%s", args, err, out)
		}
	}
	run("-V", "-H", "-p", at("k.pub"), "-m", at("m"))
	for _, kind := range []string{"", "-l"} {
		args := []string{"-S", "-s", at("k.key"), "-m", at("m"), "-x", at("theirs"), "-t", "by hand"}
		if kind != "" {
			args = append(args, kind)
		}
		run(args...)
		theirs, err := os.ReadFile(at("theirs"))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := trust(t, at("k.pub")).Verify(message, theirs); err != nil || s.Comment != "by hand" {
			t.Errorf("%q: %+v, %v", kind, s, err)
		}
	}
}

// No text makes the reader panic, and none is taken for a signature of an empty
// message.
func FuzzVerify(f *testing.F) {
	for _, name := range []string{"hashed.minisig", "legacy.minisig"} {
		f.Add(read(f, name))
	}
	tr := trust(f, "testdata/team.pub")
	f.Fuzz(func(t *testing.T, signature []byte) {
		if s, err := tr.Verify(nil, signature); err == nil {
			t.Errorf("%+v is taken", s)
		}
	})
}
