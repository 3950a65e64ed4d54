package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tollway/tollway/plugins/build"
)

// guideFile is how a guide for authors names a file that the reader has to save.
var guideFile = regexp.MustCompile("`([A-Za-z0-9_./-]+\\.[a-z]+)`")

// followGuide (guide FILE HEADING LANGUAGE LOG) does what a section of a guide for
// authors says, in a folder named LANGUAGE: it saves the files and runs the
// commands as they stand there, one after the other, and writes each to the log
// with what it printed. A server that the section starts is stopped at its end.
//
// A block without a language is commands. Any other is a file: the one that the
// text before it names last. The one thing that is changed is what the text says
// about languages: in others than Go, `tollway plugin new NAME` gets a --lang.
//
// Without the language's toolchain it says what is missing, and does nothing.
func followGuide(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: guide FILE HEADING LANGUAGE LOG")
	}
	file, heading, language, log := args[0], args[1], args[2], args[3]
	i := slices.IndexFunc(build.Languages(), func(l build.Language) bool { return l.Name == language })
	if i < 0 {
		ts.Fatalf("there is no language %q", language)
	}
	if err := build.Languages()[i].Available(); err != nil {
		ts.Logf("SKIPPED: %s in %s: %v", heading, language, err)
		return
	}
	_, section, found := strings.Cut(ts.ReadFile(file), "\n## "+heading+"\n")
	if !found {
		ts.Fatalf("%s has no section %q", file, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	r := guideReader{ts: ts, language: language, top: language}
	r.folder = r.top
	ts.Check(os.MkdirAll(ts.MkAbs(r.top), 0o700))
	started := len(*started(ts))
	for i, part := range strings.Split(section, "```") {
		if i%2 == 0 { // text
			if names := guideFile.FindAllStringSubmatch(part, -1); len(names) > 0 {
				r.file = names[len(names)-1][1]
			}
			continue
		}
		kind, body, _ := strings.Cut(part, "\n")
		if kind != "" {
			r.save(body)
			continue
		}
		for line := range strings.Lines(body) {
			r.run(strings.TrimSpace(line))
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(log), r.log.Bytes(), 0o600))
	r.stop(started)
}

// guideReader is somebody who follows a guide.
type guideReader struct {
	ts       *testscript.TestScript
	language string
	top      string // where the reader began
	folder   string // where the reader is
	file     string // to be saved next
	log      bytes.Buffer
}

// save writes the file that the text has named.
func (r *guideReader) save(body string) {
	path := r.ts.MkAbs(filepath.Join(r.folder, r.file))
	r.ts.Check(os.MkdirAll(filepath.Dir(path), 0o700))
	r.ts.Check(os.WriteFile(path, []byte(body), 0o600))
}

// run does one line.
func (r *guideReader) run(line string) {
	r.log.WriteString("$ " + line + "\n")
	if folder, ok := strings.CutPrefix(line, "cd "); ok {
		r.folder = filepath.Join(r.folder, folder)
		return
	}
	if serve, ok := strings.CutPrefix(line, "tollway serve --data "); ok {
		words := strings.Fields(serve)
		serveOn(r.ts, filepath.Join(r.folder, words[0]), words[1:]...)
		return
	}
	if strings.HasPrefix(line, "tollway plugin new ") && r.language != "go" && !strings.Contains(line, "--lang") {
		line += " --lang " + r.language
	}
	command := program(r.ts, "sh", "-c", line)
	command.Dir = r.ts.MkAbs(r.folder)
	out, err := command.CombinedOutput()
	r.log.Write(out)
	if err != nil {
		r.ts.Fatalf("in %s\n%s%v", r.language, r.log.String(), err)
	}
}

// stop ends the programs that the guide started, the ones behind the first n.
func (r *guideReader) stop(n int) {
	stack := started(r.ts)
	for _, p := range (*stack)[n:] {
		_ = p.Process.Kill() // it may have ended
		_ = p.Wait()         // that it was killed is no news
	}
	*stack = (*stack)[:n]
}
