//go:build !unix

package trial

// processUsage is nothing where the system has no simple answer.
func processUsage() usage { return usage{} }

// fields reads nothing.
func fields(string) map[string]int64 { return nil }
