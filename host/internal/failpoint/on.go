//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Enabled reports whether the program was built with the tag failpoints.
const Enabled = true

// armed is what the environment asks for. It is read once.
var armed = sync.OnceValue(read)

type plan struct {
	mu    sync.Mutex
	point string
	left  int
	met   map[string]bool
	file  *os.File // nil: what is met is not noted
}

func read() *plan {
	p := &plan{met: map[string]bool{}}
	name, count, _ := strings.Cut(os.Getenv(Env), "=")
	p.point, p.left = name, 1
	if n, err := strconv.Atoi(count); err == nil {
		p.left = n
	}
	if file := os.Getenv(EnvMet); file != "" {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			fmt.Fprintln(os.Stderr, "failpoint:", err)
		}
		p.file = f
	}
	return p
}

// Hit notes that a place is met, and ends the process there when that is asked for.
func Hit(point string) {
	p := armed()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.met[point] {
		p.met[point] = true
		if p.file != nil {
			fmt.Fprintln(p.file, point)
		}
	}
	if point != p.point {
		return
	}
	if p.left--; p.left > 0 {
		return
	}
	fmt.Fprintln(os.Stderr, "failpoint: the program dies at "+point)
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill() // as kill -9 does
	}
	select {} // nothing more happens, until the process is gone
}

// clockEvery is how often the clock's error is read.
const clockEvery = 50 * time.Millisecond

// Clock returns a clock that is wrong by what a file says, nil when no file is named.
func Clock() func() time.Time {
	file := os.Getenv(EnvClock)
	if file == "" {
		return nil
	}
	var mu sync.Mutex
	var wrong time.Duration
	var at time.Time
	return func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if now.Sub(at) >= clockEvery {
			at = now
			text, err := os.ReadFile(file)
			if err == nil {
				if d, err := time.ParseDuration(strings.TrimSpace(string(text))); err == nil {
					wrong = d
				}
			}
		}
		// Without the monotonic reading, as a clock that was set has none in common
		// with what it showed before.
		return now.Round(0).Add(wrong)
	}
}
