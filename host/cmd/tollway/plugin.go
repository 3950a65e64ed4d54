package main

// pluginCommand builds and inspects plugins.
type pluginCommand struct {
	Build   pluginBuildCommand   `cmd:"" help:"Build a tariff written in Go to a plugin, reproducibly."`
	List    pluginListCommand    `cmd:"" help:"List built-in tariffs, or with --in-force those that a server's catalog uses."`
	Inspect pluginInspectCommand `cmd:"" help:"Show a plugin's manifest, imports, exports, size and digest."`
}
