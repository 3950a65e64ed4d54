// Package serve puts a host behind its RPC server: it is the rpc.Engine of a
// host.Host, and runs the two together. Everything that shows a host to
// somebody (serve, demo, tests) goes through it.
package serve
