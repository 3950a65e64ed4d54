// Package natsd is the NATS server of a fault run: a process of its own, which can be
// killed and started again on the same store and port, and what an accident does to its
// streams.
//
// The process is the running program, started again with [Env] set: see [Main].
package natsd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Env makes a program that calls Main a NATS server: it holds the name of a
// configuration file.
const Env = "TOLLWAY_CHAOS_NATS"

// readyMax bounds how long a server may take to read its streams.
const readyMax = 60 * time.Second

// Main is the server, until its input ends. It returns false at once when the process
// is not meant to be one, and else whether all went well as an exit code.
func Main() (code int, is bool) {
	file := os.Getenv(Env)
	if file == "" {
		return 0, false
	}
	if err := serve(file); err != nil {
		fmt.Fprintln(os.Stderr, "nats-server:", err)
		return 1, true
	}
	return 0, true
}

func serve(file string) error {
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	options.NoSigs = true
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(readyMax) {
		return errors.New("not ready")
	}
	fmt.Fprintln(os.Stdout, "ready")
	_, err = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	s.WaitForShutdown()
	return err
}

// Server is a NATS server in a process of its own. Its methods may be called by one
// goroutine at a time, but for URL and Address.
type Server struct {
	dir, config string
	port        int

	mu    sync.Mutex
	cmd   *exec.Cmd
	stdin io.Closer
}

// New writes the configuration of a server whose files are in a folder, and does not
// start it. It syncs before it acknowledges, as `tollway doctor` prints it.
func New(dir string) (*Server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, config: filepath.Join(dir, "nats.conf"), port: port}
	text := fmt.Sprintf("listen: 127.0.0.1:%d\nserver_name: chaos\nmax_payload: 8MB\nlog_file: %q\njetstream { store_dir: %q, sync_interval: always }\n",
		port, filepath.Join(dir, "nats.log"), s.Store())
	return s, os.WriteFile(s.config, []byte(text), 0o600)
}

// Store is the folder of the streams.
func (s *Server) Store() string { return filepath.Join(s.dir, "store") }

// Address is where the server listens.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// URL is the same for clients.
func (s *Server) URL() string { return "nats://" + s.Address() }

// Start starts the process and waits until it takes connections.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self) //nolint:noctx // it outlives the call
	cmd.Env = append(os.Environ(), Env+"="+s.config)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.stdin = cmd, in
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() }) // it may have ended
	defer stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != "ready" {
		return errors.Join(fmt.Errorf("the NATS server says %q: %w; see %s", line, err, filepath.Join(s.dir, "nats.log")), s.end())
	}
	return nil
}

// Kill ends the process as kill -9 does. One that does not run is left alone.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end()
}

func (s *Server) end() error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	err := cmd.Process.Kill()
	_ = cmd.Wait() // that it was killed is no news
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Stop ends the process in order.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	return errors.Join(s.stdin.Close(), cmd.Wait())
}

// freePort finds a port that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer func() { _ = l.Close() }() // nothing was written
	a, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("no TCP address")
	}
	return a.Port, nil
}
