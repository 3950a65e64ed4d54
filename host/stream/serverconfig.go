package stream

import "fmt"

// Account and users of a NATS server that was set up as ServerConfig says.
const (
	accountName  = "TOLLWAY"
	hostUser     = "tollway-host"
	producerUser = "tollway-producer"
)

// producerPublish is what a producer may publish. Control messages decide money
// and are for hosts only.
const producerPublish = `"usage.in.>", "usage.*.ev", "usage.*.batch"`

// ServerConfig returns the lines of nats-server configuration that a log with so
// many partitions needs: the mapping that puts an account's events into its
// partition, the permissions that keep producers away from control messages, and
// a sync before each acknowledgement. An operator puts them into the server's
// configuration file and replaces the passwords. The embedded server runs on the
// same lines.
func ServerConfig(partitions int) string {
	user := func(name, password string) string { return fmt.Sprintf("user: %q, password: %q", name, password) }
	return serverConfig(partitions, user(hostUser, "CHANGE-ME-1"), user(producerUser, "CHANGE-ME-2"), true)
}

// serverConfig writes the configuration for two users, who are given as the
// fields that identify them. With synced false the server leaves syncing to the
// operating system.
func serverConfig(partitions int, host, producer string, synced bool) string {
	syncInterval := "always"
	if !synced {
		syncInterval = `"2m"`
	}
	return fmt.Sprintf(`# A message is on disk before it is acknowledged. Leave it out only with three
# or more replicas on machines that do not fail together.
jetstream {
  sync_interval: %s
}
# Packed batches and plugins; hosts cut to whatever the server allows.
max_payload: 8MB

accounts {
  %s {
    jetstream: enabled
    mappings = {
      # An account's token decides its partition.
      "usage.in.*": %q
    }
    users = [
      # Hosts.
      { %s }
      # Whoever sends usage. It may not publish control messages.
      { %s, permissions: {
          publish: { allow: [%s] }
          subscribe: { allow: ["_INBOX.>"] }
      } }
    ]
  }
}
`, syncInterval, accountName, fmt.Sprintf("usage.{{partition(%d,1)}}.ev", partitions),
		host, producer, producerPublish)
}
