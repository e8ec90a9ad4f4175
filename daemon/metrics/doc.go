// Package metrics is what a daemon tells of itself in numbers: Prometheus's text
// format, and what mounts, caches and processes count. guestctld and guestmount
// share it.
//
// This package may change; the stable packages are vfs, formats, filesystems
// and daemon/client.
package metrics
