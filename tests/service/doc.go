// Package service holds the tests of GuestCtl as it is installed: the packages
// in a Debian system, and the service under a systemd that boots in a container.
// They are long (make test-long), and need root.
package service
