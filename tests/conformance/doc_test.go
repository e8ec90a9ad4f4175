// Package conformance tests the programs as people and scripts use them: what
// they promise about mounting, unmounting, readiness, exit statuses and what
// they say when something is wrong.
package conformance

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/guestctl/guestctl/cmd/guestctl/demo"
	"github.com/guestctl/guestctl/tests/commands"
	"github.com/guestctl/guestctl/tests/images"
)

func TestMain(m *testing.M) { os.Exit(commands.Main(m)) }

// guest makes the demo image for who.
func guest(t testing.TB, who commands.Who) string {
	t.Helper()
	name := filepath.Join(commands.Dir(t, who), "demo.img")
	if err := demo.Write(name); err != nil {
		t.Fatal(err)
	}
	if who == commands.User && os.Geteuid() == 0 {
		if err := os.Chown(name, images.Ordinary, images.Ordinary); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

// both runs a test as whoever runs the tests and, where that is root, as an
// ordinary user too.
func both(t *testing.T, f func(t *testing.T, who commands.Who)) {
	t.Helper()
	if os.Geteuid() != 0 {
		f(t, commands.User)
		return
	}
	t.Run("root", func(t *testing.T) { f(t, commands.Self) })
	t.Run("user", func(t *testing.T) { f(t, commands.User) })
}
