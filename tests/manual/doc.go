// Command manual writes the manual pages and shell completions of the programs
// in a folder, from what they say of themselves: their --help, guestctl's
// commands and completions, and the configuration file as it is installed. What
// no program says (files, examples, what to read next) stands in more.go.
//
//	go run ./tests/manual -bin bin -o build/manual
package main
