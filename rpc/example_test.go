package rpc

import (
	"context"
	"fmt"

	tollwayv1 "github.com/tollway/tollway/rpc/tollway/v1"
)

// A server on a free port, and a client that asks it for a bill. A program
// gives Listen the engine of a host.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	server, err := Listen(ctx, Config{Listen: "127.0.0.1:0"}, bill())
	if err != nil {
		fmt.Println(err)
		return
	}
	served := make(chan error)
	go func() { served <- server.Serve(ctx) }()

	clients, err := NewClients(server.URL(), "", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := clients.Subtotals.Get(ctx, &tollwayv1.SubtotalServiceGetRequest{Account: "emma"})
	if err != nil {
		fmt.Println(clients.Explain(err).Message)
		return
	}
	for _, total := range answer.GetTotals() {
		fmt.Println(total.GetAmount(), total.GetCurrency())
	}
	clients.Close()
	cancel()
	fmt.Println(<-served)
	// Output:
	// 100.50 EUR
	// <nil>
}
