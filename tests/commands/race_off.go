//go:build !race

package commands

// Race says whether the programs have the race detector.
const Race = false
