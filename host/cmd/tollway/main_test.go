package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes the test binary the programs that the scripts run.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tollway":     main,
		"curl":        curl,
		"nats-server": natsServer,
	})
}

// TestScripts runs testdata/*.txtar. Each script shows one behaviour of the
// command line; they are there to be read. Besides the commands of testscript
// they know those of [commands].
func TestScripts(t *testing.T) {
	repository, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	// All scripts share compiled plugins and the toolchain's caches.
	cache := t.TempDir()
	compilePlugins(t, cache)
	toolchain := goEnvironment(t, "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS")
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		Cmds:                commands,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       *update,
		Setup: func(e *testscript.Env) error {
			e.Vars = append(e.Vars, toolchain...)
			e.Setenv("REPOSITORY", repository)
			e.Setenv("XDG_CACHE_HOME", cache)
			// Nothing listens here: a script that forgets to start a server must not
			// find one that runs by chance.
			e.Setenv("TOLLWAY_SERVER", "http://127.0.0.1:1")
			month := time.Now().UTC()
			month = month.AddDate(0, 0, 1-month.Day())
			e.Setenv("MONTH", month.Format("2006-01"))
			e.Setenv("NEXT_MONTH", month.AddDate(0, 1, 0).Format("2006-01"))
			return nil
		},
	})
}

// compilePlugins compiles the built-in tariffs into a cache, once for all scripts.
func compilePlugins(t *testing.T, cache string) {
	t.Helper()
	catalog := filepath.Join(t.TempDir(), "catalog.yaml")
	if err := os.WriteFile(catalog, []byte("default_subscriptions: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "tollway", "rate", "--catalog", catalog, "--usage", os.DevNull)
	command.Env = append(os.Environ(), "XDG_CACHE_HOME="+cache)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

var update = flag.Bool("rewrite", false, "rewrite the expected outputs in testdata")

// goEnvironment returns the toolchain's settings as environment variables.
func goEnvironment(t *testing.T, names ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"env"}, names...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	values := strings.Split(string(out), "\n")
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = name + "=" + values[i]
	}
	return list
}

// commands are what scripts can do besides running programs.
var commands = map[string]func(*testscript.TestScript, bool, []string){
	// serve [-data DIR | -config FILE] [ARG...] starts `tollway serve`, on the data
	// directory "data" if nothing is said, and sets TOLLWAY_SERVER.
	"serve": func(ts *testscript.TestScript, neg bool, args []string) {
		if len(args) > 1 && args[0] == "-data" {
			serveOn(ts, args[1], args[2:]...)
			return
		}
		if len(args) > 1 && args[0] == "-config" {
			args = append([]string{"serve", "--config", args[1]}, args[2:]...)
			ts.Setenv("TOLLWAY_SERVER", background(ts, serving, "tollway", args...))
			return
		}
		serveOn(ts, "data", args...)
	},
	// demo [ARG...] starts `tollway demo` without an end and sets TOLLWAY_SERVER.
	"demo": func(ts *testscript.TestScript, neg bool, args []string) {
		args = append([]string{"demo", "--listen", "127.0.0.1:0"}, args...)
		ts.Setenv("TOLLWAY_SERVER", background(ts, `^Tollway is running at (\S+)$`, "tollway", args...))
	},
	// author LANGUAGE begins a tariff in the folder made_LANGUAGE, tests and checks it.
	"author": authorTariff,
	// nats DIR starts a NATS server and sets NATS_URL.
	"nats": func(ts *testscript.TestScript, neg bool, args []string) {
		ts.Setenv("NATS_URL", background(ts, `^ready at (\S+)$`, "nats-server", args...))
	},
	// stop SIGNAL ends the program that was started last, as Ctrl-C (INT), a service
	// manager (TERM) or a crash (KILL) does. But for KILL it must exit with 0.
	"halt": func(ts *testscript.TestScript, neg bool, args []string) {
		signals := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": os.Kill}
		if len(args) != 1 || signals[args[0]] == nil {
			ts.Fatalf("usage: halt INT|TERM|KILL")
		}
		stack := started(ts)
		last := (*stack)[len(*stack)-1]
		*stack = (*stack)[:len(*stack)-1]
		ts.Check(last.Process.Signal(signals[args[0]]))
		if err := last.Wait(); err != nil && args[0] != "KILL" {
			ts.Fatalf("%s: %v", last, err)
		}
	},
	// address sets ADDRESS to the host and port of the server.
	"address": func(ts *testscript.TestScript, neg bool, args []string) {
		ts.Setenv("ADDRESS", strings.TrimPrefix(ts.Getenv("TOLLWAY_SERVER"), "http://"))
	},
	// config FILE DATA writes a configuration with a data directory and the NATS
	// server at NATS_URL; with a third argument, with an embedded one that listens
	// there.
	"config": func(ts *testscript.TestScript, neg bool, args []string) {
		nats := "url: " + ts.Getenv("NATS_URL")
		if len(args) > 2 {
			nats = "listen: " + args[2]
		}
		sharePlugins(ts, ts.MkAbs(args[1]))
		text := fmt.Sprintf("data: %s\nlisten: 127.0.0.1:0\nnats: {%s}\n", args[1], nats)
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
	},
	// expand FILE puts the values of environment variables into a file.
	"expand": func(ts *testscript.TestScript, neg bool, args []string) {
		text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
	},
	// shuffle FROM TO writes the lines of a file in another order, always the same.
	"shuffle": func(ts *testscript.TestScript, neg bool, args []string) {
		lines := strings.SplitAfter(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n")
		last := len(lines) - 1
		lines[last] += "\n"
		for i, at := 0, uint32(1); i < last; i++ {
			at = at*1664525 + 1013904223
			j := i + int(at>>8)%(len(lines)-i)
			lines[i], lines[j] = lines[j], lines[i]
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(lines, "")), 0o600))
	},
	// eventually REGEXP COMMAND... runs a program again until it prints what is
	// expected, for two minutes at most.
	"eventually": func(ts *testscript.TestScript, neg bool, args []string) {
		want := regexp.MustCompile(args[0])
		var out []byte
		for begin := time.Now(); time.Since(begin) < 2*time.Minute; time.Sleep(50 * time.Millisecond) {
			command := program(ts, args[1], args[2:]...)
			out, _ = command.CombinedOutput() // what it prints is what counts
			if want.Match(out) {
				return
			}
		}
		ts.Fatalf("%s never printed %s; at last:\n%s", args[1:], args[0], out)
	},
	// exit CODE PROGRAM ARG... runs a program that must end with a code.
	"exit": func(ts *testscript.TestScript, neg bool, args []string) {
		command := program(ts, args[1], args[2:]...)
		command.Stdout, command.Stderr = ts.Stdout(), ts.Stderr()
		_ = command.Run() // the code says it all
		if code := fmt.Sprint(command.ProcessState.ExitCode()); code != args[0] {
			ts.Fatalf("%s: exit code %s, want %s", args[1:], code, args[0])
		}
	},
	"totals":   compareTotals,
	"rated":    extractRated,
	"tutorial": followTutorial,
	"page":     runPage,
	"spans":    runSpans,
	"yaml":     saveYAML,
	"guide":    followGuide,
	"module":   copyModule,
	// checkout puts the program where `make` does.
	"checkout": func(ts *testscript.TestScript, neg bool, args []string) {
		path, err := exec.LookPath("tollway")
		ts.Check(err)
		ts.Check(os.MkdirAll(ts.MkAbs(".build/tutorial"), 0o700))
		ts.Check(os.Symlink(path, ts.MkAbs(".build/tollway")))
	},
	// watch ARG... starts `tollway subtotals watch`, which prints to watch.txt.
	"watch": func(ts *testscript.TestScript, neg bool, args []string) {
		command := program(ts, "tollway", append([]string{"subtotals", "watch"}, args...)...)
		out, err := os.Create(ts.MkAbs("watch.txt"))
		ts.Check(err)
		command.Stdout = out
		ts.Check(command.Start())
		ts.Defer(func() {
			_ = command.Process.Kill() // it does not end by itself
			_ = command.Wait()         // that it was killed is no news
			_ = out.Close()            // nothing is written any more
		})
	},
}

// serving is what `tollway serve` prints once it answers.
const serving = `^serving at (\S+)$`

// serveOn starts `tollway serve` on a data directory and sets TOLLWAY_SERVER.
func serveOn(ts *testscript.TestScript, data string, args ...string) {
	sharePlugins(ts, ts.MkAbs(data))
	args = append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, args...)
	ts.Setenv("TOLLWAY_SERVER", background(ts, serving, "tollway", args...))
}

// program makes a command in the script's folder and environment.
func program(ts *testscript.TestScript, name string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(name)
	ts.Check(err)
	command := exec.Command(path, args...)
	command.Dir = ts.MkAbs(".")
	command.Env = environment(ts)
	return command
}

// environment is the script's, as far as programs need it.
func environment(ts *testscript.TestScript) []string {
	var list []string
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "WORK", "REPOSITORY", "XDG_CACHE_HOME", "TOLLWAY_SERVER", "NATS_URL", "GOCACHE", "GOMODCACHE", "GOPROXY", "GOFLAGS", "TESTSCRIPT_COMMAND",
	} {
		if value := ts.Getenv(name); value != "" {
			list = append(list, name+"="+value)
		}
	}
	return list
}

// started are the programs that a script has started and not stopped.
func started(ts *testscript.TestScript) *[]*exec.Cmd {
	running.Lock()
	defer running.Unlock()
	if running.of[ts] == nil {
		running.of[ts] = new([]*exec.Cmd)
	}
	return running.of[ts]
}

// background starts a program, waits until it prints a line that matches, and
// returns what the line's first group holds. What it prints else goes to
// NAME.log; it is killed at the script's end.
func background(ts *testscript.TestScript, line, name string, args ...string) string {
	command := program(ts, name, args...)
	log, err := os.OpenFile(ts.MkAbs(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	command.Stderr = log
	out, err := command.StdoutPipe()
	ts.Check(err)
	ts.Check(command.Start())
	stack := started(ts)
	*stack = append(*stack, command)
	ts.Defer(func() {
		_ = command.Process.Kill() // it may have ended
		_ = command.Wait()         // or been waited for
		_ = log.Close()            // nothing is written any more
	})
	want := regexp.MustCompile(line)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := want.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(log, out) }() // ends with the program
			return m[1]
		}
	}
	ts.Fatalf("%s ended without the line %s:\n%s", name, line, ts.ReadFile(name+".log"))
	return ""
}

// sharePlugins lets the data directories of all scripts use one folder of
// compiled plugins.
func sharePlugins(ts *testscript.TestScript, data string) {
	if _, err := os.Stat(data); err == nil {
		return
	}
	ts.Check(os.MkdirAll(data, 0o700))
	shared := filepath.Join(ts.Getenv("XDG_CACHE_HOME"), "tollway", "plugins")
	ts.Check(os.MkdirAll(shared, 0o700))
	ts.Check(os.Symlink(shared, filepath.Join(data, "plugins")))
}

// curl does what the README uses curl for.
func curl() {
	flags := flag.NewFlagSet("curl", flag.ExitOnError)
	header := flags.String("H", "", "header")
	data := flags.String("d", "", "body")
	_ = flags.Parse(os.Args[1:]) // exits on an error
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, flags.Arg(0), strings.NewReader(*data))
	if err != nil {
		fail(err)
	}
	name, value, _ := strings.Cut(*header, ": ")
	request.Header.Set(name, value)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fail(err)
	}
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		fail(err)
	}
	if err := response.Body.Close(); err != nil {
		fail(err)
	}
}

// natsServer is an external NATS server with a store in a folder, on a free
// port.
func natsServer() {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: os.Args[1], NoSigs: true, SyncAlways: true,
	})
	if err != nil {
		fail(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		fail(fmt.Errorf("not ready"))
	}
	fmt.Println("ready at", s.ClientURL())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	<-ctx.Done()
	stop()
	s.Shutdown()
	s.WaitForShutdown()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
