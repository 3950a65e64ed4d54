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

	Shadow pluginShadowCommand `cmd:"" help:"Price live usage by a candidate beside what is in force."`

	Keygen   pluginKeygenCommand   `cmd:"" help:"Make a key pair for signing plugins, in the format of minisign."`
	Sign     pluginSignCommand     `cmd:"" help:"Sign plugins."`
	Push     pluginPushCommand     `cmd:"" help:"Upload plugins to a server."`
	List     pluginListCommand     `cmd:"" help:"List a server's plugins and the built-in ones."`
	Download pluginDownloadCommand `cmd:"" help:"Bring a plugin back from a server."`
	Revoke   pluginRevokeCommand   `cmd:"" help:"Have a plugin, or all that a key has signed, never be applied again."`
}
