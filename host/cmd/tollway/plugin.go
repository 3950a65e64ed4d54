package main

// pluginCommand is what the author of a tariff, and who puts it in force, work with.
type pluginCommand struct {
	New     pluginNewCommand     `cmd:"" help:"Begin a tariff: a project that builds and passes its tests."`
	Build   pluginBuildCommand   `cmd:"" help:"Build a tariff to a plugin, reproducibly."`
	Test    pluginTestCommand    `cmd:"" help:"Price cases in the engine's loader and compare with what they expect."`
	Check   pluginCheckCommand   `cmd:"" help:"Look for the properties every tariff must have, with cases and made-up events."`
	Bench   pluginBenchCommand   `cmd:"" help:"Measure a tariff: time and fuel per event, loading, memory."`
	Inspect pluginInspectCommand `cmd:"" help:"Show a plugin's manifest, parameters, imports, size, digest and limits."`
	Diff    pluginDiffCommand    `cmd:"" help:"Rate usage with two plugins: whose lines would change, by how much."`
	List    pluginListCommand    `cmd:"" help:"List built-in tariffs, or with --in-force those that a server's catalog uses."`
}
