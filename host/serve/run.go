package serve

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/tollway/tollway/host"
	"github.com/tollway/tollway/host/web"
	"github.com/tollway/tollway/rpc"
)

// Config joins the configurations of a host and its server.
type Config struct {
	Host host.Config
	RPC  rpc.Config
	// Dashboard serves the pages of host/web beside the services.
	Dashboard bool
}

// DashboardURL is where the dashboard of a server with this address is.
func DashboardURL(url string) string { return url + web.Prefix }

// Run opens a host, serves it until ctx ends, and closes it. started is called
// once calls are answered, with the server's address; its error ends the run.
func Run(ctx context.Context, config Config, started func(url string, h *host.Host) error) (err error) {
	if err := rpc.Check(ctx, config.RPC); err != nil {
		return err
	}
	h, err := host.Open(ctx, config.Host)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	config.RPC.Ready = h.Ready
	if config.Dashboard {
		if config.RPC.Pages, err = web.Handler(); err != nil {
			return err
		}
	}
	server, err := rpc.Listen(ctx, config.RPC, Engine(h))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return h.Run(ctx) })
	group.Go(func() error { return server.Serve(ctx) })
	group.Go(func() error { return started(server.URL(), h) })
	return group.Wait()
}
