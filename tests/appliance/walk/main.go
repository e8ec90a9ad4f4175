// Command walk writes down the tree at its argument, for package appliance: it runs inside the emulated machine.
package main

import (
	"context"
	"encoding/gob"
	"fmt"
	"os"

	"github.com/guestctl/guestctl/tests/manifest"
)

func main() {
	m, err := manifest.Walk(context.Background(), os.Args[1], manifest.Options{})
	if err == nil {
		err = gob.NewEncoder(os.Stdout).Encode(m)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "walk:", err)
		os.Exit(1)
	}
}
